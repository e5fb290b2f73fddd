/** A blob store in memory, what a test puts into it, and what must be true afterwards. */
import { createHash } from "node:crypto"
import { assert } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import type { Reference } from "../../src/database/Database.ts"
import { type Digest, fromSha256Hex } from "../../src/domain/Digest.ts"
import { KeyNonce, ObjectKey } from "../../src/domain/ObjectKey.ts"
import { BlobStore, type BlobStoreOptions, type Upload } from "../../src/registry/BlobStore.ts"
import type { SweepSettings } from "../../src/sweep/Settings.ts"
import type { Sweep } from "../../src/sweep/Sweep.ts"
import { clean, day, journaled, sweepAfter, World, world } from "../sweep/support/World.ts"

/** A blob store over a world of its own, with keys that end in 1, 2, 3 … */
export const registry = (options: BlobStoreOptions = {}, settings: Partial<SweepSettings> = {}) =>
  Layer.unwrap(
    Effect.sync(() => {
      let nonce = 0
      const nonces = Layer.succeed(KeyNonce, () => String(++nonce))
      return BlobStore.layer(options).pipe(Layer.provideMerge(world(settings)), Layer.provideMerge(nonces))
    })
  )

export const bytesOf = (content: string) => new TextEncoder().encode(content)
export const digestOf = (content: string): Digest =>
  fromSha256Hex(createHash("sha256").update(content).digest("hex"))
export const keyOf = (content: string, nonce: number, prefix = "blobs/"): ObjectKey => {
  const hex = digestOf(content).slice("sha256:".length)
  return ObjectKey.make(`${prefix}sha256/${hex.slice(0, 2)}/${hex}/${nonce}`)
}
export const artifact = (name: string, content: string): Reference => ({
  _tag: "Artifact",
  repository: "library",
  name,
  digest: digestOf(content)
})

/** An upload of `content`, referred to as `name`; what is given of it is a lie. */
export const upload = <E = never, R = never>(
  name: string,
  content: string,
  given: Partial<Upload<E, R>> = {}
): Upload<E, R> => ({
  digest: digestOf(content),
  sizeBytes: bytesOf(content).length,
  body: Stream.make(bytesOf(content)),
  references: [artifact(name, content)],
  ...given
})

export const put = <E = never>(...uploads: ReadonlyArray<Upload<E, World | Sweep>>) =>
  Effect.flatMap(BlobStore, (store) => store.putAll(uploads))

export const read = (content: string, range?: { readonly start: number; readonly end?: number }) =>
  Effect.gen(function* () {
    const chunks = yield* Stream.runCollect((yield* BlobStore).open(digestOf(content), range))
    return Buffer.concat(chunks).toString("utf8")
  })

export const state = Effect.map(World, ({ state }) => state)
export const sent = Effect.map(World, ({ storage }) => storage.count("put"))

/** Nothing of a blob is there for anybody to find: no row, no reference, no object. */
export const invisible = Effect.fnUntraced(function* (content: string) {
  const { blobs, references } = yield* state
  assert.isFalse(blobs.has(digestOf(content)))
  assert.isFalse([...references.values()].some(({ digest }) => digest === digestOf(content)))
  assert.strictEqual((yield* Effect.flip(read(content)))._tag, "BlobUnknown")
})

/** Lets all leases end, and sweeps until what they held is gone. */
export const settled = Effect.gen(function* () {
  yield* sweepAfter(day)
  yield* sweepAfter(day)
  assert.strictEqual((yield* state).intents.size, 0)
  assert.deepStrictEqual(yield* journaled, [])
  yield* clean
})
