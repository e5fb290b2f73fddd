/** Stores in directories of their own, which go away with the test. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Context, Effect, Layer, Stream } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import * as Files from "../../../src/storage/Files.ts"
import { Storage } from "../../../src/storage/Storage.ts"

export const temporary = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "artifact-gc-files-"))),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
)

export const opened = (options: Files.FilesOptions) =>
  Effect.map(Layer.build(Files.layer(options)), Context.get(Storage))

/** A store in a directory of its own, fast. */
export const fresh = Effect.gen(function* () {
  const directory = yield* temporary
  return { directory, storage: yield* opened({ directory, durable: false }) }
})

export const inTemporary = (durable: boolean) =>
  Layer.unwrap(Effect.map(temporary, (directory) => Files.layer({ directory, durable })))

export const key = (text: string) => ObjectKey.make(text)
export const one = Stream.make(Buffer.from("x"))
export const io = <A>(run: () => Promise<A>) => Effect.promise(run)

export const keysOf = (storage: Storage["Service"], prefix = "", after?: string) =>
  Effect.map(Stream.runCollect(storage.list(prefix, { after })), (pages) =>
    pages.flat().map((object): string => object.key)
  )
