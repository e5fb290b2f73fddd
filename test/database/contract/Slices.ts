/** The shared scan: claimSlice and readSlice. */
import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { ClaimedSlice, ScanEnd } from "../../../src/database/Database.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import { Database } from "../../fixtures/Database.ts"
import { blob, blobs, digest, digests, type Promised, rows, write } from "../../fixtures/samples.ts"

const slice = (pass: number, after: Digest | null, upTo: Digest | null, count: number): ClaimedSlice => ({
  pass,
  after,
  upTo,
  blobs: count
})

/** One of several collectors: claims slices of two until it has come round. */
const collector = Effect.map(Database, ({ orphans }) => {
  let end: ScanEnd | null = null
  return Effect.gen(function* () {
    const claimed: Option.Option<ClaimedSlice> = yield* orphans.claimSlice(2, end)
    if (Option.isNone(claimed)) return null
    end ??= { pass: claimed.value.pass + 1, after: claimed.value.after }
    return claimed.value
  })
})

/** All that is left for a collector. */
const drain = Effect.fnUntraced(function* <E>(next: Effect.Effect<ClaimedSlice | null, E>) {
  const claimed: Array<ClaimedSlice> = []
  for (let found = yield* next; found !== null; found = yield* next) claimed.push(found)
  return claimed
})

export const slices = (promised: Promised): void => {
  describe("claimSlice", () => {
    promised("hands out the catalogue in digest order, slice after slice, and ends where it began", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(5, 3, 1, 4, 2) })
        const first = yield* collector
        assert.deepStrictEqual(yield* drain(first), [
          slice(1, null, digest(2), 2),
          slice(1, digest(2), digest(4), 2),
          slice(1, digest(4), null, 1)
        ])
        assert.deepStrictEqual((yield* rows).scan, { pass: 2, position: null })
        assert.isNull(yield* first, "and stays at its end")
      })
    )

    promised("hands out an empty catalogue as one slice without blobs", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* drain(yield* collector), [slice(1, null, null, 0)])
        assert.deepStrictEqual(yield* drain(yield* collector), [slice(2, null, null, 0)])
      })
    )

    promised("ends a catalogue of whole pages with an open slice without blobs", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3, 4) })
        assert.deepStrictEqual(yield* drain(yield* collector), [
          slice(1, null, digest(2), 2),
          slice(1, digest(2), digest(4), 2),
          slice(1, digest(4), null, 0)
        ])
      })
    )

    promised("shares a pass among collectors, each slice to one of them", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3, 4, 5, 6, 7) })
        const [first, second] = [yield* collector, yield* collector]
        assert.deepStrictEqual(yield* first, slice(1, null, digest(2), 2))
        assert.deepStrictEqual(yield* second, slice(1, digest(2), digest(4), 2))
        assert.deepStrictEqual(yield* first, slice(1, digest(4), digest(6), 2))
        assert.deepStrictEqual(yield* first, slice(1, digest(6), null, 1))
        assert.isNull(yield* first)
        assert.deepStrictEqual(yield* second, slice(2, null, digest(2), 2), "what it has not seen begin")
        assert.isNull(yield* second)
      })
    )

    promised("comes round to the middle when it began there, over what another collector dropped", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3, 4, 5) })
        const died = yield* collector
        assert.deepStrictEqual(yield* died, slice(1, null, digest(2), 2))
        assert.deepStrictEqual(yield* drain(yield* collector), [
          slice(1, digest(2), digest(4), 2),
          slice(1, digest(4), null, 1),
          slice(2, null, digest(2), 2)
        ])
      })
    )

    promised("ends although others carried the scan beyond its beginning by whole passes", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3) })
        const slow = yield* collector
        assert.deepStrictEqual(yield* slow, slice(1, null, digest(2), 2))
        yield* drain(yield* collector)
        yield* drain(yield* collector)
        assert.isNull(yield* slow)
      })
    )

    promised("ends although the blob it began behind is gone", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        yield* write({ blobs: blobs(1, 3, 4, 5) })
        const end = { pass: 1, after: digest(2) }
        assert.deepStrictEqual(
          yield* orphans.claimSlice(2, end),
          Option.some(slice(1, null, digest(3), 2)),
          "which overlaps where it began"
        )
        assert.deepStrictEqual(yield* orphans.claimSlice(2, end), Option.none())
      })
    )

    promised(
      "includes in a claimed slice what is inserted into it later, and in the last one all behind it",
      () =>
        Effect.gen(function* () {
          const { orphans } = yield* Database
          yield* write({ blobs: blobs(1, 3, 5) })
          const next = yield* collector
          const [first, last] = [yield* next, yield* next]
          yield* write({ blobs: blobs(2, 9) })
          assert.deepStrictEqual([first?.blobs, last?.blobs], [2, 1], "counted when it was read")
          const found = (claimed: ClaimedSlice | null) =>
            Effect.map(claimed === null ? Effect.succeed([]) : orphans.find(claimed), (all) =>
              all.map((one) => one.digest)
            )
          assert.deepStrictEqual(yield* found(first), digests(1, 2, 3))
          assert.deepStrictEqual(yield* found(last), digests(5, 9))
        })
    )

    promised("takes up with another page size where the scan is", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        yield* write({ blobs: blobs(1, 2, 3, 4) })
        yield* orphans.claimSlice(1, null)
        assert.deepStrictEqual(
          yield* orphans.claimSlice(100, null),
          Option.some(slice(1, digest(1), null, 3))
        )
        assert.deepStrictEqual(
          yield* orphans.claimSlice(1, null),
          Option.some(slice(2, null, digest(1), 1)),
          "the next pass begins by itself"
        )
      })
    )
  })

  describe("readSlice", () => {
    promised("reads the slices that claiming would hand out, and claims none", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        assert.deepStrictEqual(yield* orphans.readSlice(null, 2), { after: null, upTo: null, blobs: 0 })
        yield* write({ blobs: [blob(1), blob(2), blob(3), blob(4)] })
        const before = yield* rows
        assert.deepStrictEqual(yield* orphans.readSlice(null, 2), { after: null, upTo: digest(2), blobs: 2 })
        assert.deepStrictEqual(yield* orphans.readSlice(digest(2), 2), {
          after: digest(2),
          upTo: digest(4),
          blobs: 2
        })
        assert.deepStrictEqual(yield* orphans.readSlice(digest(4), 2), {
          after: digest(4),
          upTo: null,
          blobs: 0
        })
        assert.deepStrictEqual(yield* orphans.readSlice(null, 5), { after: null, upTo: null, blobs: 4 })
        assert.deepStrictEqual(yield* rows, before)
      })
    )
  })
}
