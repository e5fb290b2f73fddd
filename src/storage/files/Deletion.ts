/** Deleting objects from a directory, together with directories that become empty. */
import { rmdir, unlink } from "node:fs/promises"
import { dirname } from "node:path"
import { Effect } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { checkBatch } from "../Checks.ts"
import type { DeleteFailure } from "../DeleteFailure.ts"
import { concurrency, type Directory, io } from "./Directory.ts"
import { codeOf, isAbsent, keyReason } from "./Failure.ts"
import { sync } from "./Writing.ts"

/** Deletes objects, as `Storage.delete` promises. Fails with `NotFound` if the store is missing. */
export const deleteKeys = Effect.fn("Files.delete")(function* (
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

/** Deletes one object and the directories that become empty. Adds the lowest remaining one to `touched`. */
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

/** Removes a directory if it is empty. A failure is ignored, because an empty directory does no harm. */
const isPruned = (directory: string): Promise<boolean> =>
  rmdir(directory).then(
    () => true,
    (cause) => isAbsent(cause)
  )
