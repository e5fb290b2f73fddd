/** Large bodies, made as they are sent. */

export const mebibyte = 1024 * 1024

/** Returns `count` pieces of one mebibyte, each of which differs from the others. */
export function* mebibytes(count: number): Generator<Buffer> {
  const piece = Buffer.alloc(mebibyte, "artifact-gc ")
  for (let n = 0; n < count; n++) {
    piece.writeUInt32LE(n, 0)
    yield Buffer.from(piece)
  }
}
