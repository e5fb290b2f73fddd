/** Several collectors at once, and collectors among writers: each row to one of them, and no deadlock. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Result } from "effect"
import type { ClaimedSlice, PurgeCursor, PurgedBlob, ScanEnd } from "../../../src/database/Database.ts"
import { type Arena, arena } from "../../fixtures/Arena.ts"
import type { Database } from "../../fixtures/Database.ts"
import type { Server } from "../../fixtures/Databases.ts"
import {
  artifact,
  blob,
  condemned,
  dead,
  digest,
  digests,
  everything,
  hour,
  key,
  minute,
  now
} from "../../fixtures/samples.ts"

const count = 60
const all = Array.from({ length: count }, (_, n) => n)

/** Four processes, each with as many connections as a collector has. */
const four = (a: Arena) => Effect.all([a.process(), a.process(), a.process(), a.process()])

const together = <A, E>(effects: Iterable<Effect.Effect<A, E>>) =>
  Effect.all(effects, { concurrency: "unbounded" })

/** Page after page until none is left, and again until a whole round found nothing that another had in hand. */
const purgeAll = Effect.fnUntraced(function* ({ orphans }: Database["Service"]) {
  const purged: Array<PurgedBlob> = []
  for (let found = -1; found !== 0; ) {
    found = 0
    let after: PurgeCursor | null = null
    do {
      const page: Effect.Success<ReturnType<typeof orphans.purge>> = yield* orphans.purge({
        now,
        condemnedCutoff: now,
        seenCutoff: 4_000_000_000_000,
        usedCutoff: now,
        limit: 3,
        after,
        deleteNotBefore: now + minute,
        leaseUntil: null
      })
      found += page.purged.length + page.busy
      purged.push(...page.purged)
      after = page.next
    } while (after !== null)
  }
  return purged
})

const claimAll = Effect.fnUntraced(function* ({ journal }: Database["Service"]) {
  const keys: Array<string> = []
  for (let more = true; more; ) {
    const { entries } = yield* journal.claim(now, now + hour, 3)
    keys.push(...entries.map((entry) => entry.key))
    yield* journal.confirm(entries.filter((_, index) => index === 0).map((entry) => entry.key))
    more = entries.length > 0
  }
  return keys
})

const scanAll = Effect.fnUntraced(function* ({ orphans }: Database["Service"]) {
  const claimed: Array<ClaimedSlice> = []
  let end: ScanEnd | null = null
  while (true) {
    const next: Option.Option<ClaimedSlice> = yield* orphans.claimSlice(5, end)
    if (Option.isNone(next)) return claimed
    end ??= { pass: next.value.pass + 1, after: next.value.after }
    claimed.push(next.value)
  }
})

const shares = (server: Server): void => {
  it.live("each condemned orphan is purged by one of four collectors", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* a.tables.write({ blobs: all.map((n) => blob(n)), orphans: all.map((n) => condemned(n)) })
      const purged = (yield* together((yield* four(a)).map(purgeAll))).flat()
      assert.deepStrictEqual(purged.map((one) => one.digest).sort(), digests(...all))
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, [])
      assert.deepStrictEqual(after.orphans, [])
      assert.deepStrictEqual(
        after.journal,
        all.map((n) => dead(n, { notBefore: now + minute }))
      )
      assert.strictEqual(yield* a.deadlocks, 0)
    })
  )

  it.live("each key that is due is leased to one of four collectors", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* a.tables.write({ journal: all.map((n) => dead(n, { notBefore: now - (n % 7) })) })
      const claimed = (yield* together((yield* four(a)).map(claimAll))).flat()
      assert.deepStrictEqual(
        claimed.sort(),
        all.map((n) => key(n))
      )
      assert.strictEqual(yield* a.deadlocks, 0)
    })
  )

  it.live(
    "each slice of a pass is scanned by one of four collectors, and the slices join without a gap",
    () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* a.tables.write({ blobs: all.map((n) => blob(n)) })
        const perCollector = yield* together((yield* four(a)).map(scanAll))
        const firstPass = perCollector.flat().filter((slice) => slice.pass === 1)
        const ends = firstPass.map((slice) => slice.after ?? "").sort()
        const begins = firstPass.map((slice) => slice.upTo ?? "").sort()
        assert.deepStrictEqual(ends, begins, "each ends where another begins")
        assert.strictEqual(
          firstPass.reduce((sum, slice) => sum + slice.blobs, 0),
          count
        )
        for (const claimed of perCollector) assert.isNotEmpty(claimed)
      })
  )

  it.live("control: without SKIP LOCKED or a lease two collectors read the same keys", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* a.tables.write({ journal: [dead(1)] })
      const naive = "SELECT object_key FROM artifact_gc.journal LIMIT 1"
      const [one, two] = [yield* a.session, yield* a.session]
      yield* one("BEGIN")
      assert.deepStrictEqual(yield* one(naive), yield* two(naive))
    })
  )
}

/** A number below `max`, the same in each run. */
const sequence = (seed: number) => {
  let state = seed
  return (max: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * max)
  }
}

const amongWriters = (server: Server): void => {
  it.live("collectors that scan and purge among writers never wait for each other in a circle", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const blobsOf = all.slice(0, 12)
      yield* a.tables.write({ blobs: blobsOf.map((n) => blob(n)) })
      const [one, two, three, writer] = yield* four(a)
      const rounds = (
        seed: number,
        run: (pick: (max: number) => number) => Effect.Effect<unknown, unknown>
      ) => {
        const pick = sequence(seed)
        return Effect.result(
          Effect.repeat(
            Effect.suspend(() => run(pick)),
            { times: 40 }
          )
        )
      }
      const some = (pick: (max: number) => number) =>
        Array.from({ length: 4 }, () => pick(12)).map((n) => artifact(`tag-${n}`, n))
      const record = (database: Database["Service"]) => (pick: (max: number) => number) =>
        Effect.flatMap(database.orphans.find(everything), (found) => {
          const seen = found.map((orphan) => orphan.digest)
          const doomed = seen.filter(() => pick(3) === 0)
          return database.orphans.record(everything, { now, seen, condemned: doomed, sweep: "s" })
        })
      const upload = (pick: (max: number) => number) => {
        const uploads = Array.from({ length: 3 }, () => pick(12)).map((n) => ({
          key: key(`upload-${pick(1e9)}-${n}`),
          digest: digest(n),
          sizeBytes: n,
          expiresAt: now + hour,
          references: []
        }))
        return Effect.andThen(writer.blobs.intend(uploads), writer.blobs.publish(now - hour, uploads))
      }
      const outcomes = yield* together([
        rounds(1, record(one)),
        rounds(2, record(two)),
        rounds(3, () => purgeAll(three)),
        rounds(4, (pick) => writer.blobs.adopt(now - hour, some(pick))),
        rounds(5, (pick) => writer.blobs.adopt(now - hour, some(pick).reverse())),
        rounds(6, (pick) => writer.blobs.unreference(some(pick))),
        rounds(7, upload),
        rounds(8, upload)
      ])
      for (const outcome of outcomes) if (Result.isFailure(outcome)) assert.fail(String(outcome.failure))
      const { blobs: left, references, journal } = yield* a.tables.rows
      const [living, owned] = [new Set(left.map((row) => row.digest)), new Set(left.map((row) => row.key))]
      assert.isTrue(
        references.every((reference) => living.has(reference.digest)),
        "every reference has its blob"
      )
      assert.isTrue(
        journal.every((row) => !owned.has(row.key)),
        "no dead key is owned"
      )
      assert.strictEqual(yield* a.deadlocks, 0)
    })
  )

  it.live("control: rows taken in opposite orders do make a circle, and it is counted", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* a.tables.write({ blobs: [blob(1), blob(2)] })
      const [one, two] = [yield* a.session, yield* a.session]
      const take = "SELECT FROM blobs WHERE digest = $1 FOR UPDATE"
      yield* one("BEGIN")
      yield* two("BEGIN")
      yield* one(take, [digest(1)])
      yield* two(take, [digest(2)])
      const outcomes = yield* together([
        Effect.result(one(take, [digest(2)])),
        Effect.result(two(take, [digest(1)]))
      ])
      assert.lengthOf(outcomes.filter(Result.isFailure), 1)
      assert.strictEqual(yield* a.deadlocks, 1)
    })
  )
}

export const collectors = (server: Server): void => {
  describe("collectors together", () => shares(server))
  describe("collectors among writers", () => amongWriters(server))
}
