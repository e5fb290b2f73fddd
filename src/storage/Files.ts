/**
 * The store on a directory, for one machine or a mounted volume. files/KeyPath.ts maps keys to paths.
 *
 * Invariants:
 * - A file that holds an object was complete before it got its name: it is written in `.incoming/` and then
 *   renamed. With `durable` it was also synced.
 * - Nothing outside the directory is read or written, unless another program plants symbolic links in it.
 * - Times are those of Effect's `Clock`, not of the file system.
 *
 * The directory `.incoming/` also identifies the store. If it is missing (an unmounted volume), the answer is
 * `NotFound` and never "no objects".
 *
 * Two processes may write the same key at once, and then one of them wins. The file system must be POSIX:
 * renames are atomic, directories can be synced, and names that differ in case are different.
 */
import { access, constants, readdir } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Effect, Layer, Option, Stream } from "effect"
import type { StorageError } from "../domain/StorageError.ts"
import { makeDirectory } from "../platform/directories.ts"
import { exactly } from "./Body.ts"
import { deleteKeys } from "./files/Deletion.ts"
import { type Directory, io, statFile } from "./files/Directory.ts"
import { filePath, toBytes } from "./files/KeyPath.ts"
import { listPage, readObject } from "./files/Reading.ts"
import { walk } from "./files/Walk.ts"
import { copyObject, createIncoming, removeUnfinished, writeObject } from "./files/Writing.ts"
import { Storage } from "./Storage.ts"

/** Configures the store on a directory. */
export interface FilesOptions {
  /** The directory of the objects. It is created, with its parents, if it does not exist. */
  readonly directory: string
  /**
   * Whether `put` and `delete` wait until the disk has the change (fsync of the file and of its directories).
   * Default true: the catalogue trusts an acknowledged write, and a power cut must not make it wrong. False
   * suits tests and data that can be made again. Small writes are then at least three times as fast (932
   * against 337 a second, overlay file system, 2026-11-23).
   */
  readonly durable?: boolean | undefined
  /**
   * Whether to leave the directory as it is: not to create it, not to delete unfinished files, and not to try to write in
   * `probe`. Default false. The layer then does not fail; `probe` does.
   */
  readonly passive?: boolean | undefined
}

/**
 * Provides the store under `directory`. Fails with `AccessDenied`, `NotFound` or `Rejected` if the directory
 * can be neither created nor written to. Deletes the unfinished files of crashed processes that are older
 * than {@link unfinishedAge}.
 */
export const layer = (options: FilesOptions): Layer.Layer<Storage, StorageError> =>
  Layer.effect(Storage, make(resolve(options.directory), options.durable ?? true, options.passive ?? false))

export { unfinishedAge } from "./files/Writing.ts"

const make = Effect.fnUntraced(function* (root: string, durable: boolean, passive: boolean) {
  const incoming = join(root, ".incoming")
  const directory: Directory = {
    root,
    incoming,
    durable,
    locate: (key) => join(root, filePath(toBytes(key))),
    present: (operation) => io(operation, root, () => access(incoming))
  }
  if (!passive) {
    yield* io("probe", root, () => makeDirectory(incoming))
    yield* removeUnfinished(incoming)
  }

  return Storage.of({
    description: `files under ${root}`,
    identity: { store: "files", FILES_DIRECTORY: root },
    probe: Effect.gen(function* () {
      yield* io("probe", root, () => readdir(root))
      if (passive) yield* io("probe", root, () => access(incoming, constants.W_OK))
      else yield* Effect.scoped(createIncoming("probe", root, incoming))
    }).pipe(Effect.withSpan("Files.probe")),
    list: (prefix, options) =>
      Stream.suspend(() => {
        const next = walk(root, prefix, options?.after)
        return Stream.paginate(undefined, () => listPage(directory, prefix, next))
      }),
    delete: (keys) => deleteKeys(directory, keys),
    put: (key, body, sizeBytes) => writeObject(directory, key, exactly(body, key, sizeBytes)),
    copy: (from, to) => copyObject(directory, from, to),
    get: (key, range) => readObject(directory, key, range),
    head: Effect.fn("Files.head")(function* (key) {
      const found = yield* io("head", key, async () => statFile(directory.locate(key)))
      if (found === undefined) yield* directory.present("head")
      return Option.map(Option.fromUndefinedOr(found), (file) => ({ key, ...file }))
    }),
    // A file is written as one piece, and the start deletes what crashed processes left.
    multiparts: () => Stream.empty,
    multipartSearch: () => Effect.succeed("complete"),
    abortMultipart: () => Effect.void,
    skew: Effect.succeedNone,
    traits: Effect.succeed({ versioning: "off", objectLock: false, deletes: "objects", chosen: true })
  })
})
