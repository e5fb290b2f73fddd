/** The exported contract finds stores that look right, and says what is wrong with them. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, type Duration, Effect, Exit, Layer, Stream } from "effect"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { cases, casesFor } from "../../src/testing/StorageContract.ts"

type Store = Storage["Service"]

/** Runs one case on a memory store with changes, and returns what it died of, as text. */
const judged = (
  part: string,
  change: (inner: Store) => Partial<Store>,
  timeLimit: Duration.Input = "15 seconds"
) =>
  Effect.gen(function* () {
    const inner = Context.get(yield* Layer.build(MemoryStorage.layer), Storage)
    const store: Store = { ...inner, ...change(inner) }
    const [found, ...others] = casesFor({ timeLimit }).filter(({ name }) => name.includes(part))
    assert.isDefined(found, part)
    assert.lengthOf(others, 0, part)
    const exit = yield* Effect.exit(Effect.provideService(found.effect, Storage, store))
    return Exit.isSuccess(exit) ? "passed" : String(Cause.squash(exit.cause))
  })

const chunksOf = <E, R>(body: Stream.Stream<Uint8Array, E, R>) =>
  Effect.map(Stream.runCollect(body), (chunks) => Buffer.concat(chunks))

interface Mutant {
  readonly what: string
  /** A part of the name of the case that must find it. */
  readonly found: string
  /** What the case says. */
  readonly says: string
  readonly change: (inner: Store) => Partial<Store>
  /** Default: the contract's. */
  readonly timeLimit?: Duration.Input
}

const mutants: ReadonlyArray<Mutant> = [
  {
    what: "a store that reads a body to its end before it looks at its length",
    found: "leaves nothing of a body of the wrong length",
    says: "a store ends a body at the first byte that was not declared",
    change: (inner) => ({
      put: Effect.fnUntraced(function* (key, body, sizeBytes) {
        const bytes = yield* chunksOf(body)
        yield* inner.put(key, Stream.make(bytes), sizeBytes)
      })
    })
  },
  {
    what: "a store whose ranges end before their last byte",
    found: "returns the bytes of a range",
    says: "0-0: expected '0', found ''",
    change: (inner) => ({
      get: (key, range) =>
        range?.end === undefined
          ? inner.get(key, range)
          : Stream.map(inner.get(key, range), (bytes) => bytes.subarray(0, -1))
    })
  },
  {
    what: "a store that sorts by UTF-16",
    found: "lists odd keys by their UTF-8 bytes",
    says: "Expected values to be strictly deep-equal",
    change: (inner) => ({
      list: (prefix, options) =>
        Stream.map(inner.list(prefix, options), (page) =>
          [...page].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
        )
    })
  },
  {
    what: "a store that fails for an absent key",
    found: "deletes absent keys successfully",
    says: "StorageError",
    change: (inner) => ({
      delete: (keys) =>
        // A get of an absent key fails.
        Effect.andThen(
          Effect.forEach(keys, (key) => Stream.runDrain(inner.get(key))),
          inner.delete(keys)
        )
    })
  },
  {
    what: "a store that shows an object before it is whole",
    found: "leaves nothing of an interrupted put",
    says: "Expected values to be strictly deep-equal",
    change: (inner) => ({
      put: (key, body, sizeBytes) =>
        Effect.andThen(inner.put(key, Stream.empty, 0), inner.put(key, body, sizeBytes))
    })
  },
  {
    what: "a store that never answers",
    found: "can be probed",
    says: "the store did not end this within 1 s: can be probed and describes itself",
    change: () => ({ probe: Effect.never }),
    timeLimit: "1 second"
  }
]

describe("the contract of Storage", () => {
  for (const { change, found, says, timeLimit, what } of mutants) {
    it.effect(`finds ${what}`, () =>
      Effect.gen(function* () {
        assert.include(yield* judged(found, change, timeLimit), says)
      })
    )
  }

  it.effect("finds nothing in the store of which these are made", () =>
    Effect.gen(function* () {
      for (const part of new Set(mutants.map(({ found }) => found))) {
        assert.strictEqual(yield* judged(part, () => ({})), "passed", part)
      }
    })
  )

  it("runs without a test runner", async () => {
    const [first] = cases
    assert.isDefined(first)
    await Effect.runPromise(Effect.provide(first.effect, MemoryStorage.layer))
  })

  it.effect("runs on the process's clock where a TestClock is provided, and leaves that alone", () =>
    Effect.gen(function* () {
      const late = yield* judged("can be probed", () => ({ probe: Effect.never }), "1 second")
      assert.include(late, "did not end")
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
    })
  )

  it("has one case a name", () => {
    const names = cases.map(({ name }) => name)
    assert.lengthOf(new Set(names), names.length)
    assert.lengthOf(names, 32)
  })
})
