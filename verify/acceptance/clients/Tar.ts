/**
 * As much of tar (POSIX ustar) as the images need: archives whose bytes depend only on their entries, and
 * reading them.
 */

const block = 512

/** A file, or a folder where the name ends in a slash. */
export interface Entry {
  readonly name: string
  /** Default: none, as folders have. */
  readonly bytes?: Buffer
}

const field = (header: Buffer, offset: number, length: number, text: string): void => {
  header.write(text, offset, length, "latin1")
}

const octal = (header: Buffer, offset: number, length: number, value: number): void =>
  field(header, offset, length, value.toString(8).padStart(length - 1, "0"))

const encode = ({ name, bytes = Buffer.alloc(0) }: Entry): ReadonlyArray<Buffer> => {
  const isFolder = name.endsWith("/")
  const header = Buffer.alloc(block)
  // Longer names need the prefix field, which no archive here uses.
  if (name.length > 100) throw new Error(`${name}: longer than 100 bytes`)
  field(header, 0, 100, name)
  octal(header, 100, 8, isFolder ? 0o755 : 0o644)
  octal(header, 108, 8, 0)
  octal(header, 116, 8, 0)
  octal(header, 124, 12, bytes.length)
  octal(header, 136, 12, 0)
  field(header, 148, 8, "        ")
  field(header, 156, 1, isFolder ? "5" : "0")
  field(header, 257, 8, "ustar\x0000")
  const checksum = header.reduce((sum, byte) => sum + byte, 0)
  octal(header, 148, 7, checksum)
  const padding = Buffer.alloc((block - (bytes.length % block)) % block)
  return [header, bytes, padding]
}

/** Returns an archive of the entries. */
export const tar = (entries: ReadonlyArray<Entry>): Buffer =>
  Buffer.concat([...entries.flatMap(encode), Buffer.alloc(2 * block)])

const text = (buffer: Buffer): string => buffer.toString("latin1").replace(/\0.*$/s, "")

/** Returns the plain files of an archive, by name. */
export const untar = (archive: Buffer): ReadonlyMap<string, Buffer> => {
  const files = new Map<string, Buffer>()
  for (let at = 0; at + block <= archive.length && archive[at] !== 0; ) {
    const header = archive.subarray(at, at + block)
    const size = Number.parseInt(text(header.subarray(124, 136)), 8)
    const start = at + block
    const kind = text(header.subarray(156, 157))
    if (kind === "0" || kind === "") {
      const prefix = text(header.subarray(345, 500))
      const name = text(header.subarray(0, 100))
      files.set(prefix ? `${prefix}/${name}` : name, archive.subarray(start, start + size))
    }
    at = start + Math.ceil(size / block) * block
  }
  return files
}
