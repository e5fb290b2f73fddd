/** The directory of a store on files, and how node:fs is called in it. */
import { stat } from "node:fs/promises"
import { Effect } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { fromFileSystem, isAbsent } from "./Failure.ts"

/** Describes the directory of a store. */
export interface Directory {
  /** The absolute path of the store. */
  readonly root: string
  /** The absolute path of the directory in which files are written before they get their names. */
  readonly incoming: string
  /** Whether writes and deletes are synced to the disk. */
  readonly durable: boolean
  /** Returns the path of a key's file. Throws like `toBytes`. */
  readonly locate: (key: ObjectKey) => string
  /** Fails with `NotFound` if the store is missing. Run last, it covers every file found absent before. */
  readonly present: (operation: StorageError["operation"]) => Effect.Effect<void, StorageError>
}

/**
 * The most file operations at once. Node runs them on 4 threads by default, so many more would only queue.
 */
export const concurrency = 16

/**
 * Runs an operation of node:fs. Interruption does not cut it short, because the kernel cannot take it back.
 */
export const io = <A>(operation: StorageError["operation"], subject: string, run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => fromFileSystem(operation, subject, cause) })

/** Returns the size and time of a regular file, or undefined if there is none. */
export const statFile = async (path: string) => {
  try {
    const found = await stat(path)
    // The file system stores fractions of a millisecond, which a number of seconds cannot represent exactly.
    return found.isFile() ? { sizeBytes: found.size, modifiedAt: Math.round(found.mtimeMs) } : undefined
  } catch (cause) {
    if (isAbsent(cause)) return undefined
    throw cause
  }
}
