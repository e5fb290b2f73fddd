/** Which prefixes of keys a collector may work on. */
import type { Values } from "./settings.ts"

/** Behind the prefix a key has up to 178 bytes: an algorithm, a digest of 128 digits, a nonce. Keys have 1024. */
const bytesMax = 800

/** Adds a line to `problems` for each prefix that would take in keys of others, or that no key can have. */
export const requireFittingPrefixes = (
  { blobPrefix, uploadPrefix }: Values,
  problems: Array<string>
): void => {
  for (const [env, prefix] of [
    ["GC_UPLOAD_PREFIX", uploadPrefix],
    ["GC_BLOB_PREFIX", blobPrefix]
  ] as const) {
    const problem = problemOf(prefix)
    if (problem !== null) problems.push(`${env}: ${problem}`)
  }
  if (blobPrefix.startsWith(uploadPrefix) || uploadPrefix.startsWith(blobPrefix)) {
    problems.push(
      "GC_BLOB_PREFIX: must not overlap GC_UPLOAD_PREFIX, or blobs would look like staged uploads"
    )
  }
}

const problemOf = (prefix: string): string | null => {
  if (!prefix.endsWith("/")) return 'must end in "/", or it would include keys of other folders'
  const folders = prefix.slice(0, -1).split("/")
  if (folders.includes("")) return 'must not begin with "/" or contain "//": each part names a folder'
  if (folders.some((folder) => folder === "." || folder === ".."))
    return 'must not contain "." or "..": a key is a name, and no path is resolved in it'
  if (/[\p{Cc}\p{Cs}]/u.test(prefix)) return "must not contain control characters"
  if (Buffer.byteLength(prefix) > bytesMax)
    return `must not exceed ${bytesMax} bytes, or keys would not fit behind it`
  return null
}
