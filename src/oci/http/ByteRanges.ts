/** The body of a response with several ranges: `multipart/byteranges` (RFC 9110, section 14.6). */
import { randomBytes } from "node:crypto"
import { Stream } from "effect"
import type { BlobBytes } from "../Repositories.ts"
import type { ClosedRange } from "./Ranges.ts"

/** A body of several ranges, with its exact length. */
export interface ByteRanges {
  readonly mediaType: string
  readonly sizeBytes: number
  readonly bytes: BlobBytes
}

/** Returns the body for `ranges` of a blob of `sizeBytes`. Reads one range after the other. */
export const byteRanges = (
  ranges: ReadonlyArray<ClosedRange>,
  {
    mediaType,
    read,
    sizeBytes
  }: {
    readonly mediaType: string
    readonly sizeBytes: number
    readonly read: (range: ClosedRange) => BlobBytes
  }
): ByteRanges => {
  // Cannot be guessed by the author of a blob, who could otherwise write parts of his own into it.
  const boundary = randomBytes(16).toString("hex")
  const parts = ranges.map((range) => ({
    range,
    head: Buffer.from(
      `\r\n--${boundary}\r\nContent-Type: ${mediaType}\r\nContent-Range: bytes ${range.start}-${range.end}/${sizeBytes}\r\n\r\n`
    )
  }))
  const end = Buffer.from(`\r\n--${boundary}--\r\n`)
  const bytes = parts.reduce<BlobBytes>(
    (before, { head, range }) => Stream.concat(before, after(head, read(range))),
    Stream.empty
  )
  return {
    mediaType: `multipart/byteranges; boundary=${boundary}`,
    sizeBytes: parts.reduce(
      (sum, { head, range }) => sum + head.length + range.end - range.start + 1,
      end.length
    ),
    bytes: Stream.concat(bytes, Stream.make(end))
  }
}

/** Emits `head` with the first bytes, so that a store that cannot be reached yields an error response. */
const after = (head: Uint8Array, bytes: BlobBytes): BlobBytes =>
  Stream.mapAccum(
    bytes,
    () => true,
    (isFirst, chunk) => [false, isFirst ? [head, chunk] : [chunk]] as const
  )
