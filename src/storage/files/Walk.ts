/**
 * The depth-first walk behind `list`: keys in order, without a listing of the whole tree.
 *
 * It keeps only the sorted names of the directories on the path from the root to the current one. Memory
 * grows with the widest directories of one path, not with the number of objects. A directory that cannot
 * contain a wanted key is not read. A name that disappears meanwhile is skipped.
 *
 * It reads names only. The caller reads sizes and times.
 */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { directoryPath, fromBytes, type KeyBytes, parseName, toBytes } from "./KeyPath.ts"

/** Names the file of an object. It may turn out not to be a regular file. */
export interface Found {
  /** The object's key. */
  readonly key: string
  /** The absolute path of the file. */
  readonly path: string
}

interface Entry {
  readonly name: string
  readonly isDirectory: boolean
  /** The object's key, or the beginning of every key below the directory. */
  readonly bytes: KeyBytes
}

interface Frame {
  readonly directory: string
  readonly entries: ReadonlyArray<Entry>
  next: number
}

/** The most directories that one call reads, so that a million empty ones give the caller its turn. */
const directoriesMax = 1000

/** Holds the next keys of a walk. */
export interface Step {
  readonly found: ReadonlyArray<Found>
  /** Whether there may be more keys. */
  readonly isMore: boolean
}

/**
 * Walks the keys that start with `prefix` and sort after `after`. Each call returns up to `limit` next keys.
 */
export const walk = (
  root: string,
  prefix: string,
  after: string | undefined
): ((limit: number) => Promise<Step>) => {
  const path: Array<Frame> = []
  let wanted: ReturnType<typeof between> | undefined

  return async (limit) => {
    if (wanted === undefined) {
      wanted = between(toBytes(prefix), after === undefined ? undefined : toBytes(after))
      // All keys with this prefix are below one directory, so its parents need not be read.
      const start = toBytes(prefix.slice(0, prefix.lastIndexOf("/") + 1))
      path.push(await read(join(root, directoryPath(start)), start, wanted))
    }
    const found: Array<Found> = []
    let directories = 0
    while (found.length < limit && directories < directoriesMax) {
      const frame = path.at(-1)
      if (frame === undefined) return { found, isMore: false }
      const entry = frame.entries[frame.next++]
      if (entry === undefined) {
        path.pop()
      } else if (entry.isDirectory) {
        directories += 1
        path.push(await read(join(frame.directory, entry.name), entry.bytes, wanted))
      } else {
        const key = fromBytes(entry.bytes)
        if (key !== undefined) found.push({ key, path: join(frame.directory, entry.name) })
      }
    }
    return { found, isMore: true }
  }
}

/** Returns a test whether an entry is a wanted key or may contain one. */
const between = (prefix: KeyBytes, after: KeyBytes | undefined) => (entry: Entry) =>
  entry.isDirectory
    ? (entry.bytes.startsWith(prefix) || prefix.startsWith(entry.bytes)) &&
      (after === undefined || entry.bytes > after || after.startsWith(entry.bytes))
    : entry.bytes.startsWith(prefix) && (after === undefined || entry.bytes > after)

const read = async (directory: string, base: KeyBytes, wanted: (entry: Entry) => boolean): Promise<Frame> => {
  const entries: Array<Entry> = []
  for (const name of await names(directory)) {
    const parsed = parseName(name)
    if (parsed === undefined) continue
    const entry = { name, isDirectory: parsed.isDirectory, bytes: base + parsed.bytes }
    if (wanted(entry)) entries.push(entry)
  }
  entries.sort((a, b) => (a.bytes < b.bytes ? -1 : 1))
  return { directory, entries, next: 0 }
}

/** Returns the names in a directory: none if it is missing or a file. */
const names = (directory: string): Promise<ReadonlyArray<string>> =>
  readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return []
    throw error
  })
