/** Ranges of bytes: those of a blob that a client asks for, and those of an upload that it sends. */
import type { ByteRange } from "../../storage/Storage.ts"

/** Both ends inclusive. */
export type ClosedRange = Required<{ readonly [K in keyof ByteRange]: number }>

/**
 * What `Range` asks for of something `sizeBytes` long (RFC 9110, section 14):
 * - null: all of it. No range, several, another unit, or what is no range at all
 * - `unsatisfiable`: nothing of it. The conformance suite counts among these a range that ends before it begins
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

/** The `Content-Range` of a chunk, which has neither unit nor total (distribution-spec v1.1.1, "Pushing a blob in chunks"); null when it is none. */
export const chunkRange = (header: string): ClosedRange | null => {
  const [, from, to] = /^(\d+)-(\d+)$/.exec(header.trim()) ?? []
  const range = { start: Number(from), end: Number(to) }
  return Number.isSafeInteger(range.end) && range.start <= range.end ? range : null
}
