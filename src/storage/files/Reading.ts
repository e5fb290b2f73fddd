/** Listing and reading objects in a directory. */
import { type FileHandle, open } from "node:fs/promises"
import { Readable } from "node:stream"
import { Effect, Option, Stream } from "effect"
import { ObjectKey } from "../../domain/ObjectKey.ts"
import { StorageError } from "../../domain/StorageError.ts"
import { checkRange, noSuchObject, resolveRange } from "../Checks.ts"
import { withOpening } from "../Readables.ts"
import type { ByteRange, StoredObject } from "../Storage.ts"
import { concurrency, type Directory, io, statFile } from "./Directory.ts"
import { fromFileSystem } from "./Failure.ts"
import type { Found, walk } from "./Walk.ts"

const pageMax = 1000

/** Bytes of one read: enough for 1 GiB/s (measured), and little memory even with many readers. */
const readBytes = 256 * 1024

/** Bytes of one read of a file that is piped: each costs a thread's turn, and half as many cost half as much. */
const pipedBytes = 512 * 1024

/** Returns the next page of a listing, and whether another one follows, in the form of `Stream.paginate`. */
export const listPage = Effect.fn("Files.list")(function* (
  { present, root }: Directory,
  prefix: string,
  next: ReturnType<typeof walk>
) {
  const { found, isMore } = yield* io("list", prefix || root, () => next(pageMax))
  const objects = (yield* Effect.forEach(found, describe, { concurrency })).flatMap(Option.toArray)
  yield* present("list")
  const isEnd = objects.length === 0 && !isMore
  return [isEnd ? [] : [objects], isMore ? Option.some(undefined) : Option.none()] as const
})

const describe = ({ key, path }: Found): Effect.Effect<Option.Option<StoredObject>, StorageError> =>
  Effect.map(
    io("list", key, () => statFile(path)),
    (file) => Option.map(Option.fromUndefinedOr(file), (file) => ({ key: ObjectKey.make(key), ...file }))
  )

/** Returns the bytes of an object, for `Storage.get`. */
export const readObject = (
  directory: Directory,
  key: ObjectKey,
  range: ByteRange | undefined
): Stream.Stream<Uint8Array, StorageError> => {
  const open = openObject(directory, key, range)
  const stream = Effect.map(open, ({ handle, start, stop }) =>
    Stream.paginate(start, (position) => readAt(key, handle, position, stop))
  )
  const failure = (cause: unknown) =>
    cause instanceof StorageError ? cause : fromFileSystem("get", key, cause)
  const opening = Effect.flatMap(open, (file) =>
    Effect.acquireRelease(
      Effect.sync(() => ({ readable: pipedFrom(key, file), failure })),
      ({ readable }) => Effect.sync(() => readable.destroy())
    )
  )
  return withOpening(Stream.unwrap(stream), opening)
}

/** Opens an object. The file stays open until the scope closes. */
const openObject = Effect.fn("Files.get")(function* (
  { locate }: Directory,
  key: ObjectKey,
  range: ByteRange | undefined
) {
  yield* checkRange(key, range)
  const handle = yield* Effect.acquireRelease(
    io("get", key, async () => open(locate(key), "r")),
    (handle) => Effect.promise(() => handle.close().catch(() => undefined))
  )
  const found = yield* io("get", key, () => handle.stat())
  if (!found.isFile()) return yield* noSuchObject(key)
  return { handle, ...(yield* resolveRange(key, range, found.size)) }
})

/** An open file, its first byte, and the one after its last. */
interface OpenFile {
  readonly handle: FileHandle
  readonly start: number
  readonly stop: number
}

const pipedFrom = (key: ObjectKey, { handle, start, stop }: OpenFile): Readable => {
  let position = start
  return new Readable({
    highWaterMark: pipedBytes,
    read() {
      if (position >= stop) {
        this.push(null)
        return
      }
      const buffer = Buffer.allocUnsafeSlow(Math.min(pipedBytes, stop - position))
      handle.read(buffer, 0, buffer.length, position).then(
        ({ bytesRead }) => {
          if (bytesRead === 0) {
            this.destroy(endedEarly(key, position))
            return
          }
          position += bytesRead
          this.push(buffer.subarray(0, bytesRead))
        },
        (cause) => this.destroy(cause)
      )
    }
  })
}

const readAt = Effect.fnUntraced(function* (
  key: ObjectKey,
  handle: FileHandle,
  position: number,
  stop: number
) {
  if (position >= stop) return [[], Option.none<number>()] as const
  const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, stop - position))
  const { bytesRead } = yield* io("get", key, () => handle.read(buffer, 0, buffer.length, position))
  if (bytesRead === 0) return yield* endedEarly(key, position)
  const next = position + bytesRead
  return [[buffer.subarray(0, bytesRead)], next < stop ? Option.some(next) : Option.none<number>()] as const
})

const endedEarly = (key: ObjectKey, position: number): StorageError =>
  new StorageError({
    operation: "get",
    subject: key,
    reason: "Unknown",
    detail: `the file ended at byte ${position} while it was read: another program changed it in place`
  })
