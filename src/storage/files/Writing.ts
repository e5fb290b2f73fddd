/** Writing objects into a directory: complete and durable before they are visible. */
import { randomUUID } from "node:crypto"
import { constants } from "node:fs"
import { copyFile, type FileHandle, open, readdir, rename, unlink } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Clock, Duration, Effect, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { makeDirectory } from "../../platform/directories.ts"
import { checkCopy, noSuchObject } from "../Checks.ts"
import { concurrency, type Directory, io, statFile } from "./Directory.ts"
import { codeOf, isAbsent } from "./Failure.ts"

/** The age at which the start deletes an unfinished file. Each written byte makes the file young again. */
export const unfinishedAge = Duration.hours(24)

/**
 * A put that loses its directory to a delete makes it again. Losing it this often in a row has another cause.
 */
const renameAttemptsMax = 100

interface Incoming {
  readonly handle: FileHandle
  readonly path: string
}

/** Creates an empty, invisible file. The scope closes it, and deletes it unless it was renamed before. */
export const createIncoming = (operation: "put" | "copy" | "probe", subject: string, incoming: string) =>
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

/** Writes an object. The length of its body was checked by `exactly`. */
export const writeObject = Effect.fn("Files.put")(function* <E, R>(
  directory: Directory,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>
) {
  const target = yield* io("put", key, async () => directory.locate(key))
  const file = yield* createIncoming("put", key, directory.incoming)
  yield* Stream.runForEach(body, (chunk) => io("put", key, () => file.handle.writeFile(chunk)))
  const now = yield* Clock.currentTimeMillis
  // An interruption between visible and durable would leave an object that a power cut removes.
  yield* Effect.uninterruptible(io("put", key, () => publish(file, directory, target, now)))
}, Effect.scoped)

/** Copies an object. File systems that can share blocks do not copy its bytes. */
export const copyObject = Effect.fn("Files.copy")(function* (
  directory: Directory,
  from: ObjectKey,
  to: ObjectKey
) {
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

/** Dates the file, makes it durable, renames it to its target, and makes the new name durable. */
const publish = async (file: Incoming, { durable, root }: Directory, target: string, now: number) => {
  await file.handle.utimes(now / 1000, now / 1000)
  if (durable) await file.handle.sync()
  // Some file systems report a failed write only on close.
  await file.handle.close()
  for (let attempt = 1; ; attempt++) {
    try {
      await makeDirectory(dirname(target))
      await rename(file.path, target)
      break
    } catch (cause) {
      // A delete may remove the directory between the two steps.
      if (codeOf(cause) !== "ENOENT" || attempt === renameAttemptsMax) throw cause
    }
  }
  if (!durable) return
  // Up to the root, because another put may have made a directory and not yet synced its parent.
  let directory = dirname(target)
  await sync(directory)
  while (directory !== root) {
    directory = dirname(directory)
    await sync(directory)
  }
}

/** Makes the names in a directory durable. A missing directory has none. */
export const sync = async (directory: string) => {
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

/**
 * Deletes the files that crashed processes left unfinished, once they are older than {@link unfinishedAge}.
 */
export const removeUnfinished = Effect.fnUntraced(function* (incoming: string) {
  const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(unfinishedAge)
  const names = yield* io("probe", incoming, () => readdir(incoming))
  // Failures are ignored: another process may delete the same file, and a remaining one does no harm.
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
