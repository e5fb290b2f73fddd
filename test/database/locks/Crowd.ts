/** Many at one repository, at random: whatever they do to each other, nothing dangles, and nothing stays for ever. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { ManifestRow } from "../../../src/oci/database/Memory.ts"
import type { ManifestReference } from "../../../src/oci/database/RegistryDatabase.ts"
import { arena } from "../../fixtures/Arena.ts"
import type { Database } from "../../fixtures/Database.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { blobs, digest as digestOf, hour, now } from "../../fixtures/samples.ts"
import type { Rows } from "../../fixtures/Tables.ts"
import { app, child, layer, manifest } from "../../oci/database/contract/Manifests.ts"

/** Three images, two indexes that share one of them, and two that are about others. */
const catalogue: ReadonlyArray<{
  readonly n: number
  readonly references: ReadonlyArray<ManifestReference>
  readonly subject?: number
}> = [
  { n: 1, references: [layer(11)] },
  { n: 2, references: [layer(11), layer(12)] },
  { n: 3, references: [layer(12)] },
  { n: 4, references: [child(1), child(2)] },
  { n: 5, references: [child(2), child(3)] },
  { n: 6, references: [layer(11)], subject: 5 },
  { n: 7, references: [layer(12)], subject: 1 }
]

/** A linear congruential generator: what each does is the same in every run, only not when. */
const diceOf = (seed: number) => {
  let state = seed * 7919 + 1
  return (sides: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * sides)
  }
}

const step = ({ manifests, retention }: Database["Service"], dice: (sides: number) => number, at: number) => {
  const chosen = catalogue[dice(catalogue.length)] ?? { n: 1, references: [] }
  const { n, references, subject } = chosen
  const digest = digestOf(n)
  const tag = `tag ${dice(4)}`
  const about = subject === undefined ? {} : { subject: digestOf(subject) }
  switch (dice(8)) {
    case 0:
      return manifests.untag(at, app, tag)
    case 1:
      return manifests.delete(at, app, digest, { withReferrers: at % 2 === 0 })
    case 2:
      return Effect.andThen(
        manifests.touch(at, app, digest),
        retention.record(at, [{ repository: app, name: { _tag: "Tag", tag }, at }], {
          everyMillis: 1,
          isComplete: true
        })
      )
    case 3:
    case 4:
      return Effect.gen(function* () {
        if (at % 5 === 0) yield* retention.untag(at, app, yield* retention.tags([app], null, 2))
        return yield* manifests.expire(at, at - dice(3), 1 + dice(4), { withReferrers: at % 2 === 0 })
      })
    case 5:
      return manifests.put(at, manifest(n, about), references)
    default:
      return manifests.put(at, manifest(n, about), references, { tags: [tag, `tag ${dice(4)}`] })
  }
}

/** Digests that a tag leads to, by indexes, and what is about them. */
const needed = ({ manifests, tags }: Rows): ReadonlySet<string> => {
  const found = new Set(tags.map((tag) => tag.digest))
  const rows = new Map(manifests.map((row) => [row.digest, row]))
  for (let size = -1; size !== found.size; ) {
    size = found.size
    for (const row of rows.values()) {
      if (row.subject !== null && found.has(row.subject)) found.add(row.digest)
      if (found.has(row.digest)) for (const one of childrenOf(row)) found.add(one)
    }
  }
  return found
}

const childrenOf = ({ references }: ManifestRow) =>
  references.filter(({ kind }) => kind === "manifest").map(({ digest }) => digest)

export const crowd = (server: Server): void => {
  describe("a crowd at one repository", () => {
    it.live(
      "leaves what tags lead to, and when all have gone and time has passed, only that",
      () =>
        Effect.gen(function* () {
          const a = yield* arena(server)
          yield* a.tables.write({ blobs: blobs(1, 2, 3, 4, 5, 6, 7, 11, 12) })
          const processes = yield* Effect.all(Array.from({ length: 6 }, () => a.process()))
          yield* Effect.forEach(
            processes,
            (database, n) =>
              Effect.gen(function* () {
                const dice = diceOf(n)
                for (let turn = 0; turn < 150; turn++) yield* step(database, dice, now + turn)
              }),
            { concurrency: "unbounded", discard: true }
          )
          const after = yield* a.tables.rows
          const there = new Set(after.manifests.map((row) => row.digest))
          for (const row of after.manifests) {
            for (const one of childrenOf(row)) assert.isTrue(there.has(one), `child ${one} is not there`)
          }
          for (const { digest, name } of after.tags) assert.isTrue(there.has(digest), `${name} leads nowhere`)
          // Each round frees what the round before was needed by.
          for (let round = 1; round <= 4; round++) {
            yield* a.database.manifests.expire(now + round * hour, now + round * hour - 1, 100)
          }
          const left = yield* a.tables.rows
          assert.deepStrictEqual(new Set(left.manifests.map((row) => row.digest)), needed(after))
          assert.deepStrictEqual(left.tags, after.tags)
          assert.strictEqual(yield* a.deadlocks, 0)
        }),
      60_000
    )
  })
}
