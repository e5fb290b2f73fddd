/** What the suites of the contract share: how a promise is written down, and the steps that fill and read a store. */
import { randomUUID } from "node:crypto"
import { Effect, type Scope, Stream } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { Storage } from "../../../src/storage/Storage.ts"

export interface Suite {
  /** One test; `factor` is how many times as long as others it may take. */
  readonly promise: (
    name: string,
    test: Effect.Effect<unknown, unknown, Storage | Scope.Scope>,
    factor?: number
  ) => void
  /** The odd keys that this store takes. */
  readonly accepted: ReadonlyArray<string>
  readonly refused: ReadonlyArray<RefusedKeys>
  readonly hidesNested: string | undefined
}

/** Keys that a store refuses, and why. The contract then expects `put` to fail with `Rejected`, so that it stays true. */
export interface RefusedKeys {
  readonly why: string
  readonly keys: (key: string) => boolean
}

/** Requests under way at once when a test fills a store. */
const concurrency = 32

export const key = (prefix: string, rest: string) => ObjectKey.make(prefix + rest)

export const numbered = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => key(prefix, String(i).padStart(5, "0")))

/** A prefix of at most 64 bytes that this test has for itself; what is under it goes away with the test. */
export const workspace = Effect.gen(function* () {
  const storage = yield* Storage
  const prefix = `contract-${randomUUID()}/`
  yield* Effect.addFinalizer(() =>
    storage.list(prefix).pipe(
      Stream.runForEach((page) => storage.delete(page.map((object) => object.key))),
      Effect.orDie
    )
  )
  return { storage, prefix }
})

export const fill = Effect.fnUntraced(function* (
  keys: ReadonlyArray<string>,
  content: (key: string) => Buffer = () => Buffer.from("x")
) {
  const storage = yield* Storage
  yield* Effect.forEach(
    keys,
    (key) => storage.put(ObjectKey.make(key), Stream.make(content(key)), content(key).length),
    { concurrency, discard: true }
  )
})

export const listed = Effect.fnUntraced(function* (prefix: string, after?: string) {
  const storage = yield* Storage
  const pages = yield* Stream.runCollect(storage.list(prefix, { after }))
  return pages.flat().map((object): string => object.key)
})

export const read = Effect.fnUntraced(function* (
  key: ObjectKey,
  range?: { start: number; end?: number | undefined }
) {
  const storage = yield* Storage
  return Buffer.concat(yield* Stream.runCollect(storage.get(key, range)))
})
