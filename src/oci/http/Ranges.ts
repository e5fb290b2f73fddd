/** Parses ranges of bytes: of a blob that a client reads, and of a chunk that it sends. */
import type { ByteRange } from "../../storage/Storage.ts"

/** A range of bytes, both ends inclusive. */
export type ClosedRange = Required<{ readonly [K in keyof ByteRange]: number }>

/**
 * Returns the range that the header `Range` asks for, of content that is `sizeBytes` long (RFC 9110, section
 * 14).
 * - null: all bytes. The header is absent, malformed, has several ranges, or uses another unit
 * - `unsatisfiable`: none of the bytes are in the range. The conformance suite includes a range that ends
 *   before it begins
 */
export const requestedRange = (
  header: string | undefined,
  sizeBytes: number
): ClosedRange | "unsatisfiable" | null => {
  const [, from, to] = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(header ?? "") ?? []
  if (from === undefined || to === undefined || (from === "" && to === "")) return null
  const last = sizeBytes - 1
  const range =
    from === ""
      ? { start: Math.max(0, sizeBytes - Number(to)), end: last }
      : { start: Number(from), end: to === "" ? last : Math.min(Number(to), last) }
  return range.start <= range.end ? range : "unsatisfiable"
}

/**
 * Returns the range that the `Content-Range` of a chunk names, or null if it is malformed. It has neither
 * unit nor total (distribution-spec v1.1.1, "Pushing a blob in chunks").
 */
export const chunkRange = (header: string): ClosedRange | null => {
  const [, from, to] = /^(\d+)-(\d+)$/.exec(header.trim()) ?? []
  const range = { start: Number(from), end: Number(to) }
  return Number.isSafeInteger(range.end) && range.start <= range.end ? range : null
}
