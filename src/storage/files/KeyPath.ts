/**
 * The path of a key under a directory. The encoding is injective, never leaves the directory, and can be
 * walked in key order.
 *
 * A key is split at "/". The last segment names a file, the others name directories:
 * - Bytes outside `A-Z a-z 0-9 _ . -`, and a "." at the beginning, become `%XX`. So no name is `.` or `..`.
 *   None contains a separator, none starts with a dot (Files.ts uses such names), and all are plain ASCII.
 * - A directory's name ends in `+`, so that the objects `a` and `a/b` can both exist.
 * - An empty last segment (the key ends in "/") is the file `%`.
 * - A segment of {@link splitBytes} bytes or more is split, because a file name has at most 255 bytes. Its
 *   first {@link splitBytes} bytes name a directory that ends in `~`, and the rest is inside it. *Every* such
 *   segment is split, so that all keys that start with these bytes are in one directory and the walk finds
 *   them in order.
 *
 * Inside this folder a key is a string of its UTF-8 bytes, one character a byte. There `<` is the order of
 * keys, and a segment may be cut anywhere.
 *
 * File systems that ignore case (the default on macOS and Windows) do not work: keys that differ only in case
 * would share a file.
 */
import { isUtf8 } from "node:buffer"

/** A key, or its beginning, with one character (U+0000–U+00FF) for each byte of UTF-8. */
export type KeyBytes = string

/**
 * The length at which a segment is split. 84 escaped bytes and a suffix fit NAME_MAX: 253 of 255 characters.
 */
export const splitBytes = 84

/** Returns the bytes of a key. Throws EINVAL for an unpaired surrogate, which Node would write as U+FFFD. */
export const toBytes = (key: string): KeyBytes => {
  if (/\p{Surrogate}/u.test(key)) {
    throw Object.assign(new Error("EINVAL: the key has an unpaired surrogate"), { code: "EINVAL" })
  }
  return Buffer.from(key, "utf8").toString("latin1")
}

/** Returns the key of these bytes, or undefined if no object can have that key. */
export const fromBytes = (bytes: KeyBytes): string | undefined => {
  if (bytes.length === 0 || bytes.length > 1024 || bytes.includes("\0")) return undefined
  const buffer = Buffer.from(bytes, "latin1")
  return isUtf8(buffer) ? buffer.toString("utf8") : undefined
}

/** Returns the path of a key's file, relative to the store's directory. */
export const filePath = (bytes: KeyBytes): string => {
  const cut = bytes.lastIndexOf("/") + 1
  return directoryPath(bytes.slice(0, cut)) + segmentPath(bytes.slice(cut), "")
}

/** Returns the directory of all keys that start with `prefix`. Prefix and result are empty or end in "/". */
export const directoryPath = (prefix: KeyBytes): string =>
  prefix
    .split("/")
    .slice(0, -1)
    .map((segment) => `${segmentPath(segment, "+")}/`)
    .join("")

/** Holds the meaning of a name in a directory. */
export interface Name {
  /** Whether the name is a directory. Every key below it continues with `bytes`. */
  readonly isDirectory: boolean
  /** The bytes that the name adds to the key bytes of its directory. */
  readonly bytes: KeyBytes
}

/**
 * Returns the meaning of a name, or undefined if the encoding never makes it and the file is not the store's.
 */
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
