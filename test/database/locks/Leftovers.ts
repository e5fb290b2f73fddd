/** A key that is published while the database is asked for its owner: in no snapshot is it without one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { LeftoverPlan } from "../../../src/database/Database.ts"
import type { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { type Arena, arena, before, later } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { artifact, digest, hour, intent, minute, now } from "../../fixtures/samples.ts"

const object = { key: intent(1).key, sizeBytes: 1 }
/** Of a store with little to list, and with much. */
const whole: LeftoverPlan = { everyMillis: hour, cuts: [intent(2).key], cutFrom: 1e12 }
const cut: LeftoverPlan = { ...whole, cutFrom: 0 }
const upload = { key: intent(1).key, digest: digest(1), sizeBytes: 1, references: [artifact("a", 1)] }

/** Keys that are dead and alive at once. */
const contradictions = ({ tables }: Arena) =>
  Effect.map(tables.rows, ({ blobs, journal }) => {
    const owned = new Set(blobs.map((row) => row.key))
    return journal.filter((row) => owned.has(row.key)).map((row) => row.key)
  })

const published = (a: Arena) => Effect.map(a.database.blobs.publish(now, [upload]), ([outcome]) => outcome)

const racing = (server: Server): void => {
  for (const [when, statement] of [
    ["before it has the row", /INSERT INTO "public"\."blobs"/],
    ["when it has the row and still its intent", /^\s*DELETE FROM "artifact_gc"\."intents"/],
    ["when it has the row and no intent, and has not committed", /INSERT INTO "public"\."artifacts"/]
  ] as const) {
    it.live(`a key is not journaled that is being published, ${when}`, () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* a.tables.write({ intents: [intent(1)] })
        const collector = yield* a.process()
        const journaled: Array<string> = []
        const ask = Effect.map(collector.leftovers.journal(now, [object], now + hour), (keys) =>
          journaled.push(...keys)
        )
        assert.strictEqual(yield* published(a).pipe(before(statement, ask)), "published")
        assert.deepStrictEqual(journaled, [])
        assert.deepStrictEqual(yield* contradictions(a), [])
        assert.deepStrictEqual(yield* collector.leftovers.journal(now, [object], now + hour), [])
      })
    )
  }

  it.live("control: asked in two statements, a key that is published in between is journaled", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* a.tables.write({ intents: [intent(1)] })
      const collector = yield* a.session
      const isRow = yield* collector("SELECT FROM blobs WHERE object_key = $1", [object.key])
      assert.strictEqual(yield* published(a), "published")
      const isIntent = yield* collector("SELECT FROM artifact_gc.intents WHERE object_key = $1", [object.key])
      assert.deepStrictEqual([isRow.length, isIntent.length], [0, 0])
      yield* collector(
        `INSERT INTO artifact_gc.journal (object_key, size_bytes, reason, journaled_at, not_before)
         VALUES ($1, 1, 'leftover', now(), now())`,
        [object.key]
      )
      assert.deepStrictEqual(yield* contradictions(a), [object.key])
    })
  )

  it.live("of many keys that are published and looked at again and again, none is ever journaled", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const [writer, one, two] = [yield* a.process(), yield* a.process(), yield* a.process()]
      const all = Array.from({ length: 200 }, (_, n) => ({ ...intent(n), sizeBytes: 1, references: [] }))
      yield* a.database.blobs.intend(all)
      let done = false
      const publishing = Effect.ensuring(
        Effect.forEach(all, (one) => writer.blobs.publish(now, [one]), { discard: true }),
        Effect.sync(() => {
          done = true
        })
      )
      const looking = ({ leftovers }: typeof one) =>
        Effect.gen(function* () {
          let looks = 0
          while (!done) {
            assert.deepStrictEqual(yield* leftovers.journal(now, all, now + hour), [])
            looks += 1
          }
          assert.isAbove(looks, 1)
        })
      yield* Effect.all([publishing, looking(one), looking(two)], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* contradictions(a), [])
      assert.lengthOf((yield* a.tables.rows).blobs, all.length)
      assert.strictEqual(yield* a.deadlocks, 0)
    })
  )
}

const sharing = (server: Server): void => {
  it.live("the scan is leased to one of four collectors at a time", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const four = yield* Effect.all([a.process(), a.process(), a.process(), a.process()])
      for (const at of [now, now + minute]) {
        const claims = yield* Effect.all(
          four.map(({ leftovers }) => leftovers.claim(at, at + minute, whole)),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(claims.filter(Option.isSome), 1)
      }
    })
  )

  it.live("each of four collectors that ask at once gets a range of its own, while there are any", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const four = yield* Effect.all([a.process(), a.process(), a.process(), a.process()])
      const claims = yield* Effect.all(
        four.map(({ leftovers }) => leftovers.claim(now, now + minute, cut)),
        { concurrency: "unbounded" }
      )
      const begins = claims.flatMap((claim) => (Option.isSome(claim) ? [claim.value.from] : []))
      assert.sameMembers(begins, [null, intent(2).key])
    })
  )

  for (const [when, isJournaled] of [
    ["before the pass is withdrawn is taken back with it", true],
    ["after the pass was withdrawn is not journaled", false]
  ] as const) {
    it.live(`what another range's collector journals ${when}`, () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        const [one, two] = [yield* a.process(), yield* a.process()]
        const claim = ({ leftovers }: typeof one) =>
          Effect.map(leftovers.claim(now, now + minute, cut), Option.getOrThrow)
        const [first, second] = [yield* claim(one), yield* claim(two)]
        const journaled: Array<string> = []
        const journaling = Effect.map(two.leftovers.journal(now, [object], now + hour, second), (keys) =>
          journaled.push(...keys)
        )
        const withdrawing = Effect.asVoid(one.leftovers.withdraw(first))
        // The one that comes second waits for the other, which has its lock and has not committed.
        const [leads, follows, statement] = isJournaled
          ? [journaling, withdrawing, /INSERT INTO "artifact_gc"\."journal"/]
          : [withdrawing, journaling, /UPDATE "artifact_gc"\."listing_ranges"/]
        const following = later<unknown, DatabaseError>(follows)
        yield* Effect.asVoid(leads).pipe(before(statement, Effect.andThen(following.start, a.waiting())))
        yield* following.outcome
        assert.deepStrictEqual(journaled, isJournaled ? [object.key] : [])
        assert.deepStrictEqual((yield* a.tables.rows).journal, [])
        assert.strictEqual(yield* a.deadlocks, 0)
      })
    )
  }

  it.live("taking back skips keys that a collector is about to delete, and takes them the next time", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const [one, two] = [yield* a.process(), yield* a.process()]
      const scan = Option.getOrThrow(yield* one.leftovers.claim(now, now + minute, whole))
      yield* one.leftovers.journal(now, [object], now + hour)
      // Another collector is about to delete it: it is skipped, not waited for.
      const holder = yield* a.session
      yield* holder("BEGIN")
      yield* holder("SELECT FROM artifact_gc.journal FOR UPDATE")
      assert.strictEqual(yield* one.leftovers.withdraw(scan), 0)
      yield* holder("ROLLBACK")
      const next = Option.getOrThrow(yield* two.leftovers.claim(now, now + minute, whole))
      assert.strictEqual(yield* two.leftovers.withdraw(next), 1)
      assert.deepStrictEqual((yield* a.tables.rows).journal, [])
    })
  )
}

export const leftovers = (server: Server): void => {
  describe("leftovers and writers", () => racing(server))
  describe("leftovers and collectors", () => sharing(server))
}
