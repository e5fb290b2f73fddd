/**
 * The store on a directory, for one machine or a mounted volume. How keys become paths: files/KeyPath.ts.
 *
 * Invariants: a file that stands for an object was complete, and synced if `durable`, before it got its name
 * (written in `.incoming/`, then renamed); nothing outside the directory is read or written, as long as nobody else
 * plants symbolic links in it. Times are those of Effect's `Clock`, not of the file system.
 *
 * `.incoming/` is also the sign that this is our directory: when it is missing (a volume that is not mounted), the
 * answer is `NotFound`, never "no objects".
 *
 * It does not guard against two processes that write the same key at once beyond "one of them wins", and it needs
 * a POSIX file system: atomic rename, directories that can be synced, names that differ in case are different.
 */
import { randomUUID } from "node:crypto"
import { constants } from "node:fs"
import {
  access,
  copyFile,
  type FileHandle,
  open,
  readdir,
  rename,
  rmdir,
  stat,
  unlink
} from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { Clock, Duration, Effect, Layer, Option, Stream } from "effect"
import { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError } from "../domain/StorageError.ts"
import { makeDirectory } from "../platform/directories.ts"
import { exactly } from "./Body.ts"
import { checkBatch, checkCopy, checkRange, noSuchObject, resolveRange } from "./Checks.ts"
import { codeOf, fromFileSystem, isAbsent, keyReason } from "./files/Failure.ts"
import { filePath, toBytes } from "./files/KeyPath.ts"
import { type Found, walk } from "./files/Walk.ts"
import { type ByteRange, type DeleteFailure, Storage, type StoredObject } from "./Storage.ts"

export interface FilesOptions {
  /** Where the objects live; made, with its parents, when it does not exist. */
  readonly directory: string
  /**
   * Whether `put` and `delete` wait until the disk has the change (fsync of the file and of its directories).
   * Default true: the catalogue trusts an acknowledged write, and a power cut must not make it wrong. Without it
   * small writes are three times as fast or more (932 against 337 a second, overlay file system, 2026-11-23): for
   * tests and for data that can be made again.
   */
  readonly durable?: boolean | undefined
}

/**
 * The store under `directory`. Fails with `AccessDenied`, `NotFound` or `Rejected` when the directory can be neither
 * made nor written to. Removes what uploads of crashed processes left behind more than {@link leftoverAge} ago.
 */
export const layer = (options: FilesOptions): Layer.Layer<Storage, StorageError> =>
  Layer.effect(Storage, make(resolve(options.directory), options.durable ?? true))

/** No upload lasts this long without a byte, and a byte makes the file young again. */
export const leftoverAge = Duration.hours(24)

const pageMax = 1000

/** Node runs file operations on 4 threads by default; more than a few times as many requests only queue up. */
const concurrency = 16

/** Bytes of one read: enough for 1 GiB/s (measured), little beside the number of readers there may be. */
const readBytes = 256 * 1024

/** A put that loses its directory to a delete makes it again; losing this often in a row is something else. */
const renameAttempts = 100

interface Directory {
  readonly root: string
  readonly incoming: string
  readonly durable: boolean
  /** The file of a key. Throws like `toBytes`. */
  readonly locate: (key: ObjectKey) => string
  /** Fails with `NotFound` when the store is gone. Asked last, so that it speaks for all that was found absent. */
  readonly present: (operation: StorageError["operation"]) => Effect.Effect<void, StorageError>
}

const make = Effect.fnUntraced(function* (root: string, durable: boolean) {
  const incoming = join(root, ".incoming")
  const directory: Directory = {
    root,
    incoming,
    durable,
    locate: (key) => join(root, filePath(toBytes(key))),
    present: (operation) => io(operation, root, () => access(incoming))
  }
  yield* io("probe", root, () => makeDirectory(incoming))
  yield* removeLeftovers(incoming)

  return Storage.of({
    description: `files under ${root}`,
    probe: Effect.gen(function* () {
      yield* io("probe", root, () => readdir(root))
      yield* Effect.scoped(createIncoming("probe", root, incoming))
    }).pipe(Effect.withSpan("Files.probe")),
    list: (prefix, options) =>
      Stream.suspend(() => {
        const next = walk(root, prefix, options?.after)
        return Stream.paginate(undefined, () => listPage(directory, prefix, next))
      }),
    delete: (keys) => deleteKeys(directory, keys),
    put: (key, body, sizeBytes) => writeObject(directory, key, exactly(body, key, sizeBytes)),
    copy: (from, to) => copyObject(directory, from, to),
    get: (key, range) => Stream.unwrap(openForReading(directory, key, range)),
    head: Effect.fn("Files.head")(function* (key) {
      const found = yield* io("head", key, async () => statFile(directory.locate(key)))
      if (found === undefined) yield* directory.present("head")
      return Option.map(Option.fromUndefinedOr(found), (file) => ({ key, ...file }))
    }),
    // A file is written in one go, and what crashed processes left is removed at start.
    multiparts: () => Stream.empty,
    abortMultipart: () => Effect.void,
    skew: Effect.succeedNone,
    traits: Effect.succeed({ versioning: "off", objectLock: false, deletes: "objects", chosen: true })
  })
})

/** Runs an operation of node:fs. It is not cut short by interruption: the kernel has no way to take it back. */
const io = <A>(operation: StorageError["operation"], subject: string, run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => fromFileSystem(operation, subject, cause) })

// -- list and head

const listPage = Effect.fn("Files.list")(function* (
  { present, root }: Directory,
  prefix: string,
  next: ReturnType<typeof walk>
) {
  const found = yield* io("list", prefix || root, () => next(pageMax))
  const objects = (yield* Effect.forEach(found, describe, { concurrency })).flatMap(Option.toArray)
  yield* present("list")
  const more = found.length < pageMax ? Option.none() : Option.some(undefined)
  return [objects.length === 0 ? [] : [objects], more] as const
})

/** Size and time of a regular file, or nothing where there is none. */
const statFile = async (path: string) => {
  try {
    const found = await stat(path)
    // The file system keeps fractions of a millisecond that a number of seconds cannot hold exactly.
    return found.isFile() ? { sizeBytes: found.size, modifiedAt: Math.round(found.mtimeMs) } : undefined
  } catch (cause) {
    if (isAbsent(cause)) return undefined
    throw cause
  }
}

const describe = ({ key, path }: Found): Effect.Effect<Option.Option<StoredObject>, StorageError> =>
  Effect.map(
    io("list", key, () => statFile(path)),
    (file) => Option.map(Option.fromUndefinedOr(file), (file) => ({ key: ObjectKey.make(key), ...file }))
  )

// -- put

interface Incoming {
  readonly handle: FileHandle
  readonly path: string
}

/** An empty file that nobody sees, closed and removed with the scope unless it was renamed until then. */
const createIncoming = (operation: "put" | "copy" | "probe", subject: string, incoming: string) =>
  Effect.acquireRelease(
    io(operation, subject, async (): Promise<Incoming> => {
      const path = join(incoming, randomUUID())
      return { handle: await open(path, "wx"), path }
    }),
    ({ handle, path }) =>
      Effect.promise(async () => {
        await handle.close().catch(() => undefined)
        await unlink(path).catch(() => undefined)
      })
  )

/** Writes an object whose body has been checked. */
const writeObject = Effect.fn("Files.put")(function* <E, R>(
  directory: Directory,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>
) {
  const target = yield* io("put", key, async () => directory.locate(key))
  const file = yield* createIncoming("put", key, directory.incoming)
  yield* Stream.runForEach(body, (chunk) => io("put", key, () => file.handle.writeFile(chunk)))
  const now = yield* Clock.currentTimeMillis
  // Not to be interrupted between becoming visible and becoming durable.
  yield* Effect.uninterruptible(io("put", key, () => publish(file, directory, target, now)))
}, Effect.scoped)

/** Copies a file, on file systems that can without copying its bytes. */
const copyObject = Effect.fn("Files.copy")(function* (directory: Directory, from: ObjectKey, to: ObjectKey) {
  yield* checkCopy(from, to)
  const [source, target] = yield* io(
    "copy",
    to,
    async () => [directory.locate(from), directory.locate(to)] as const
  )
  if ((yield* io("copy", from, () => statFile(source))) === undefined)
    return yield* noSuchObject(from, "copy")
  const file = yield* createIncoming("copy", to, directory.incoming)
  yield* io("copy", from, () => copyFile(source, file.path, constants.COPYFILE_FICLONE))
  const now = yield* Clock.currentTimeMillis
  yield* Effect.uninterruptible(io("copy", to, () => publish(file, directory, target, now)))
}, Effect.scoped)

/** Gives the file its time, makes it durable, then visible, then makes that durable. */
const publish = async (file: Incoming, { durable, root }: Directory, target: string, now: number) => {
  await file.handle.utimes(now / 1000, now / 1000)
  if (durable) await file.handle.sync()
  // Some file systems report a failed write only here.
  await file.handle.close()
  for (let attempt = 1; ; attempt++) {
    try {
      await makeDirectory(dirname(target))
      await rename(file.path, target)
      break
    } catch (cause) {
      // A delete removed the directory between the two steps.
      if (codeOf(cause) !== "ENOENT" || attempt === renameAttempts) throw cause
    }
  }
  if (!durable) return
  // All up to the root, since another put may have made a directory and not yet synced the one above it.
  let directory = dirname(target)
  await sync(directory)
  while (directory !== root) {
    directory = dirname(directory)
    await sync(directory)
  }
}

/** Makes the names in a directory durable; in one that is gone there are none. */
const sync = async (directory: string) => {
  const handle = await open(directory, "r").catch((cause) => {
    if (isAbsent(cause)) return undefined
    throw cause
  })
  try {
    await handle?.sync()
  } finally {
    await handle?.close()
  }
}

// -- delete

const deleteKeys = Effect.fn("Files.delete")(function* (
  directory: Directory,
  keys: ReadonlyArray<ObjectKey>
) {
  yield* checkBatch(keys)
  const touched = new Set<string>()
  const removeOne = (key: ObjectKey) => Effect.promise(() => remove(directory, key, touched))
  const failures = yield* Effect.forEach(keys, removeOne, { concurrency })
  if (directory.durable) {
    yield* Effect.forEach(touched, (path) => io("delete", path, () => sync(path)), { concurrency })
  }
  yield* directory.present("delete")
  return {
    deleted: keys.filter((_, i) => failures[i] === undefined),
    failed: failures.filter((failure) => failure !== undefined)
  }
})

/** Removes one object and the directories that are empty without it; adds to `touched` the one it stopped at. */
const remove = async (
  { locate, root }: Directory,
  key: ObjectKey,
  touched: Set<string>
): Promise<DeleteFailure | undefined> => {
  try {
    const path = locate(key)
    await unlink(path).catch((cause) => {
      if (!isAbsent(cause)) throw cause
    })
    let directory = dirname(path)
    while (directory !== root && (await isPruned(directory))) directory = dirname(directory)
    touched.add(directory)
    return undefined
  } catch (cause) {
    const code = codeOf(cause)
    const detail = cause instanceof Error ? cause.message : String(cause)
    return { key, reason: keyReason(code), code, detail }
  }
}

/** Best effort: an empty directory that stays is a name too many, nothing else. */
const isPruned = (directory: string): Promise<boolean> =>
  rmdir(directory).then(
    () => true,
    (cause) => isAbsent(cause)
  )

// -- get

const openForReading = Effect.fn("Files.get")(function* (
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
  const { start, stop } = yield* resolveRange(key, range, found.size)
  return Stream.paginate(start, (position) => readAt(key, handle, position, stop))
})

const readAt = Effect.fnUntraced(function* (
  key: ObjectKey,
  handle: FileHandle,
  position: number,
  stop: number
) {
  if (position >= stop) return [[], Option.none<number>()] as const
  const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, stop - position))
  const { bytesRead } = yield* io("get", key, () => handle.read(buffer, 0, buffer.length, position))
  if (bytesRead === 0) {
    const detail = `the file ended at byte ${position} while it was read; somebody changed it in place`
    return yield* new StorageError({ operation: "get", subject: key, reason: "Unknown", detail })
  }
  const next = position + bytesRead
  return [[buffer.subarray(0, bytesRead)], next < stop ? Option.some(next) : Option.none<number>()] as const
})

// -- start

const removeLeftovers = Effect.fnUntraced(function* (incoming: string) {
  const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(leftoverAge)
  const names = yield* io("probe", incoming, () => readdir(incoming))
  // Another process may be at it too, and a leftover that stays is no reason not to start.
  const removeOld = (name: string) =>
    Effect.ignore(
      io("probe", incoming, async () => {
        const path = join(incoming, name)
        const file = await statFile(path)
        if (file !== undefined && file.modifiedAt < cutoff) await unlink(path)
      })
    )
  yield* Effect.forEach(names, removeOld, { concurrency, discard: true })
})
