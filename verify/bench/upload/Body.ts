/**
 * A body of any length, which is made while it is sent and never in memory as a whole. All its mebibytes
 * differ.
 */
import { createHash } from "node:crypto"

const pieceBytes = 1024 * 1024

/** Yields `sizeBytes` bytes from `start` on, in pieces. Both are whole mebibytes. */
export function* pieces(start: number, sizeBytes: number): Generator<Buffer> {
  const base = Buffer.alloc(pieceBytes)
  for (let at = 0; at < pieceBytes; at += 4) base.writeUInt32LE((at * 2_654_435_761) >>> 0, at)
  for (let at = start; at < start + sizeBytes; at += pieceBytes) {
    const piece = Buffer.from(base)
    piece.writeDoubleLE(at, 0)
    yield piece
  }
}

/** Returns the digest of a body. */
export const digestOf = (sizeBytes: number, start = 0): string => {
  const hash = createHash("sha256")
  for (const piece of pieces(start, sizeBytes)) hash.update(piece)
  return `sha256:${hash.digest("hex")}`
}
