/** Just enough of tar (POSIX ustar): archives whose bytes depend on nothing but what is put in, and reading them back. */

const block = 512

const field = (header, offset, length, text) => header.write(text, offset, length, "latin1")

const octal = (header, offset, length, value) =>
  field(header, offset, length, value.toString(8).padStart(length - 1, "0"))

const entry = (name, bytes) => {
  const isFolder = name.endsWith("/")
  const header = Buffer.alloc(block)
  // Longer names need the prefix field, and none here is.
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
  octal(
    header,
    148,
    7,
    header.reduce((sum, byte) => sum + byte, 0)
  )
  const padding = Buffer.alloc((block - (bytes.length % block)) % block)
  return [header, bytes, padding]
}

/** An archive of `[name, bytes]`; a name that ends in a slash is a folder. */
export const tar = (entries) =>
  Buffer.concat([
    ...entries.flatMap(([name, bytes]) => entry(name, bytes ?? Buffer.alloc(0))),
    Buffer.alloc(2 * block)
  ])

const text = (buffer) => buffer.toString("latin1").replace(/\0.*$/s, "")

/** The plain files of an archive, by name. */
export const untar = (archive) => {
  const files = new Map()
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
