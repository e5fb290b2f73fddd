/** The contract of `Storage.list`, and of deletes of listed keys. */
import { Effect, Option, Stream } from "effect"
import { ObjectKey } from "../../../domain/ObjectKey.ts"
import { Storage } from "../../../storage/Storage.ts"
import * as assert from "../Assert.ts"
import { inOrder, oddKeys, sortedAfter } from "./OddKeys.ts"
import { type Declared, declare, fill, key, listed, numbered, read, workspace } from "./Workspace.ts"

/** Keys that a store refuses, and the reason. The contract expects `put` to fail with `Rejected` for them. */
export interface RefusedKeys {
  /** Why, in words. They become a part of a case's name. */
  readonly why: string
  /** Tells for a key of the contract, without its prefix, whether it is refused. */
  readonly keys: (key: string) => boolean
}

const probes = declare(
  "can be probed and describes itself",
  Effect.gen(function* () {
    const storage = yield* Storage
    yield* storage.probe
    assert.isNotEmpty(storage.description)
  })
)

const listsOddKeys = (accepted: ReadonlyArray<string>): Declared =>
  declare(
    "lists odd keys by their UTF-8 bytes and keeps them apart",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const keys = accepted.map((odd) => prefix + odd)
      yield* fill(keys, (key) => Buffer.from(`content of ${key}`))
      assert.deepStrictEqual(yield* listed(prefix), inOrder(keys))
      for (const odd of accepted) {
        const k = key(prefix, odd)
        assert.strictEqual((yield* read(k)).toString(), `content of ${k}`)
        const head = Option.getOrThrow(yield* storage.head(k))
        assert.deepInclude(head, { key: k, sizeBytes: Buffer.byteLength(`content of ${k}`) })
      }
    })
  )

const continues = (accepted: ReadonlyArray<string>): Declared =>
  declare(
    "continues after any key and narrows to any prefix",
    Effect.gen(function* () {
      const { prefix } = yield* workspace
      const keys = inOrder(accepted.map((odd) => prefix + odd))
      yield* fill(keys)
      yield* Effect.forEach(
        keys,
        Effect.fnUntraced(function* (key) {
          assert.deepStrictEqual(
            yield* listed(prefix, key),
            sortedAfter(keys, key),
            `after ${JSON.stringify(key)}`
          )
          const within = keys.filter((other) => other.startsWith(key))
          assert.deepStrictEqual(yield* listed(key), within, `prefix ${JSON.stringify(key)}`)
          assert.deepStrictEqual(yield* listed(key, key), within.slice(1), `both ${JSON.stringify(key)}`)
        }),
        { concurrency: 8 }
      )
      assert.deepStrictEqual(yield* listed(prefix, "\u0021"), keys, "after a key before the prefix")
      assert.deepStrictEqual(
        yield* listed(prefix, "\u{10ffff}"),
        [],
        "after a key that sorts after the prefix"
      )
    })
  )

const deletesOddKeys = (accepted: ReadonlyArray<string>): Declared =>
  declare(
    "deletes odd keys in a batch and reports each as it was named",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const keys = accepted.map((odd) => ObjectKey.make(prefix + odd))
      yield* fill(keys)
      assert.deepStrictEqual(yield* storage.delete(keys), { deleted: keys, failed: [] })
      assert.deepStrictEqual(yield* listed(prefix), [])
    })
  )

const refuses = ({ keys, why }: RefusedKeys): Declared =>
  declare(
    `exception: refuses some keys: ${why}`,
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      for (const odd of oddKeys.filter(keys)) {
        const error = yield* Effect.flip(storage.put(key(prefix, odd), Stream.empty, 0))
        assert.strictEqual(error.reason, "Rejected", JSON.stringify(odd))
      }
      assert.deepStrictEqual(yield* listed(prefix), [])
    })
  )

const hides = (hidden: string): Declared =>
  declare(
    `exception: does not list a/b beside a: ${hidden}`,
    Effect.gen(function* () {
      const { prefix } = yield* workspace
      yield* fill([`${prefix}a`, `${prefix}a/b`])
      assert.deepStrictEqual(yield* listed(prefix), [`${prefix}a`])
      assert.strictEqual((yield* read(key(prefix, "a/b"))).toString(), "x")
    })
  )

const pages = declare(
  "lists 2,500 objects in pages of at most 1000, in order, each once",
  Effect.gen(function* () {
    const { prefix, storage } = yield* workspace
    const keys = numbered(prefix, 2500)
    yield* fill(keys)
    const pages = yield* Stream.runCollect(storage.list(prefix))
    assert.isAtLeast(pages.length, 3)
    assert.isTrue(pages.every((page) => page.length > 0 && page.length <= 1000))
    assert.deepStrictEqual(
      pages.flat().map((object) => object.key),
      keys
    )
    assert.isTrue(pages.flat().every((object) => object.sizeBytes === 1 && object.modifiedAt > 0))
    assert.deepStrictEqual(yield* listed(prefix, keys[1233]), keys.slice(1234))
    assert.deepStrictEqual(yield* listed(`${prefix}01`), keys.slice(1000, 2000), "exactly one full page")

    // A page's objects are deleted before the next page is listed.
    const seen = yield* storage.list(prefix).pipe(
      Stream.tap((page) => storage.delete(page.map((object) => object.key))),
      Stream.runCollect
    )
    assert.deepStrictEqual(
      seen.flat().map((object) => object.key),
      keys
    )
    assert.deepStrictEqual(
      yield* Stream.runCollect(storage.list(prefix)),
      [],
      "no page at all, rather than an empty one"
    )
  }),
  4
)

/** What differs between stores that keep the contract. */
export interface Differences {
  /** The odd keys that the store accepts. */
  readonly accepted: ReadonlyArray<string>
  /** Those that it refuses. */
  readonly refused: ReadonlyArray<RefusedKeys>
  /** Why it does not list `a/b` beside `a`, if so. */
  readonly hidesNested: string | undefined
}

/** Returns the cases. */
export const listing = ({ accepted, refused, hidesNested }: Differences): ReadonlyArray<Declared> => [
  probes,
  listsOddKeys(accepted),
  continues(accepted),
  deletesOddKeys(accepted),
  ...refused.map(refuses),
  ...(hidesNested === undefined ? [] : [hides(hidesNested)]),
  pages
]
