/** Parses ranges of bytes: of a blob that a client reads, and of a chunk that it sends. */
import type { ByteRange } from "../../storage/Storage.ts"

/** A range of bytes, both ends inclusive. */
export type ClosedRange = Required<{ readonly [K in keyof ByteRange]: number }>

/**
 * Most ranges of one request. Each is a request to the store. A lazily pulled image asks for a few at a time; clients that are
 * told 400 ask again for a single one.
 */
export const rangesMax = 64

/**
 * Returns the ranges that the header `Range` asks for, of content that is `sizeBytes` long (RFC 9110, section 14). Ranges that
 * overlap or touch become one, so that no byte is sent twice; then they are in ascending order.
 * - null: all bytes. The header is absent, malformed, or uses another unit
 * - `unsatisfiable`: no range has a byte of the content. The conformance suite includes a range that ends before it begins
 * - `too many`: more than {@link rangesMax}
 */
export const requestedRanges = (
  header: string | undefined,
  sizeBytes: number
): readonly [ClosedRange, ...ReadonlyArray<ClosedRange>] | "unsatisfiable" | "too many" | null => {
  const [, list] = /^bytes=(.*)$/i.exec(header ?? "") ?? []
  if (list === undefined) return null
  const specifiers = list.split(",", rangesMax + 1)
  if (specifiers.length > rangesMax) return "too many"
  const ranges: Array<ClosedRange> = []
  for (const specifier of specifiers) {
    const range = requestedRange(specifier, sizeBytes)
    if (range === null) return null
    if (range !== "unsatisfiable") ranges.push(range)
  }
  const [first, ...others] = joined(ranges)
  return first === undefined ? "unsatisfiable" : [first, ...others]
}

const requestedRange = (specifier: string, sizeBytes: number): ClosedRange | "unsatisfiable" | null => {
  const [, from, to] = /^\s*(\d*)-(\d*)\s*$/.exec(specifier) ?? []
  if (from === undefined || to === undefined || (from === "" && to === "")) return null
  const last = sizeBytes - 1
  const range =
    from === ""
      ? { start: Math.max(0, sizeBytes - Number(to)), end: last }
      : { start: Number(from), end: to === "" ? last : Math.min(Number(to), last) }
  return range.start <= range.end ? range : "unsatisfiable"
}

/** Keeps the order of ranges that are apart: RFC 9110, section 15.3.7.2. */
const joined = (ranges: ReadonlyArray<ClosedRange>): ReadonlyArray<ClosedRange> => {
  const found: Array<ClosedRange> = []
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = found.at(-1)
    if (last === undefined || range.start > last.end + 1) found.push(range)
    else found[found.length - 1] = { start: last.start, end: Math.max(last.end, range.end) }
  }
  return found.length === ranges.length ? ranges : found
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
