/**
 * Where a key lives under a directory: an encoding that is injective, stays inside the directory whatever the key
 * contains, and can be walked in key order.
 *
 * A key is split at "/". The last segment names a file, the others directories:
 * - bytes outside `A-Z a-z 0-9 _ . -`, and a "." at the beginning, become `%XX`. So no name is `.` or `..`, none
 *   contains a separator or starts with a dot (those are ours, see Files.ts), and all are plain ASCII;
 * - a directory's name ends in `+`, so that the objects `a` and `a/b` can both exist;
 * - an empty last segment (the key ends in "/") is the file `%`;
 * - a segment of {@link splitBytes} bytes or more starts with a directory of its first {@link splitBytes} bytes,
 *   whose name ends in `~`, and goes on inside it, because a file name has at most 255 bytes. *Every* such segment
 *   does, so that all keys that start with these bytes are in one place and the walk meets them in order.
 *
 * Inside this folder a key is a string of its UTF-8 bytes, one character a byte: there, `<` is the order of keys
 * and a segment may be cut anywhere.
 *
 * Not for file systems that ignore case (the default on macOS and Windows): keys that differ only in case would
 * share a file.
 */
import { isUtf8 } from "node:buffer"

/** A key, or the beginning of one, as one character (U+0000–U+00FF) a byte of UTF-8. */
export type KeyBytes = string

/** 84 bytes are at most 252 characters when every one is escaped; with the suffix that stays within NAME_MAX, 255. */
export const splitBytes = 84

/** Throws (EINVAL) for a string with an unpaired surrogate: it has no UTF-8, and Node would write U+FFFD instead. */
export const toBytes = (key: string): KeyBytes => {
  if (/\p{Surrogate}/u.test(key)) {
    throw Object.assign(new Error("EINVAL: the key has an unpaired surrogate"), { code: "EINVAL" })
  }
  return Buffer.from(key, "utf8").toString("latin1")
}

/** The key of these bytes, or nothing when no object can have that key. */
export const fromBytes = (bytes: KeyBytes): string | undefined => {
  if (bytes.length === 0 || bytes.length > 1024 || bytes.includes("\0")) return undefined
  const buffer = Buffer.from(bytes, "latin1")
  return isUtf8(buffer) ? buffer.toString("utf8") : undefined
}

/** The file of a key, relative to the store's directory. */
export const filePath = (bytes: KeyBytes): string => {
  const cut = bytes.lastIndexOf("/") + 1
  return directoryPath(bytes.slice(0, cut)) + segmentPath(bytes.slice(cut), "")
}

/** The directory of all keys that start with `prefix`, which is empty or ends in "/"; empty or ends in "/" itself. */
export const directoryPath = (prefix: KeyBytes): string =>
  prefix
    .split("/")
    .slice(0, -1)
    .map((segment) => `${segmentPath(segment, "+")}/`)
    .join("")

/** What a name in a directory stands for. */
export interface Name {
  /** Whether it is a directory: everything below it has a key that starts with `bytes`. */
  readonly isDirectory: boolean
  /** What it adds to the key of the directory it is in. */
  readonly bytes: KeyBytes
}

/** The meaning of a name, or nothing when this encoding never makes that name: such a file is not ours. */
export const parseName = (name: string): Name | undefined => {
  if (name === "%") return { isDirectory: false, bytes: "" }
  const suffix = name.at(-1)
  const stem = suffix === "+" || suffix === "~" ? name.slice(0, -1) : name
  const bytes = stem.replace(/%([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16))
  )
  if (encode(bytes) !== stem) return undefined
  if (suffix === "~") return bytes.length === splitBytes ? { isDirectory: true, bytes } : undefined
  if (bytes.length >= splitBytes) return undefined
  return suffix === "+" ? { isDirectory: true, bytes: `${bytes}/` } : { isDirectory: false, bytes }
}

const segmentPath = (segment: KeyBytes, suffix: "" | "+"): string => {
  let path = ""
  let rest = segment
  while (rest.length >= splitBytes) {
    path += `${encode(rest.slice(0, splitBytes))}~/`
    rest = rest.slice(splitBytes)
  }
  return path + (rest === "" && suffix === "" ? "%" : encode(rest) + suffix)
}

const encode = (bytes: KeyBytes): string =>
  bytes.replace(
    /^\.|[^A-Za-z0-9_.-]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`
  )
