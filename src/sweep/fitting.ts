/** Which settings of a sweep fit together. The caller says how a setting is called: by its variable or its property. */
import { Duration } from "effect"

/** Settings that are compared with each other. */
interface Compared {
  readonly backoffBase: Duration.Duration
  readonly backoffCap: Duration.Duration
  readonly blobPrefix: string
  readonly uploadPrefix: string
}

/** Returns one line for each mistake. */
export const unfitting = (
  settings: Compared,
  nameOf: (property: keyof Compared) => string
): ReadonlyArray<string> => {
  const { backoffBase, backoffCap, blobPrefix, uploadPrefix } = settings
  const problems: Array<string> = []
  if (Duration.isLessThan(backoffCap, backoffBase)) {
    problems.push(`${nameOf("backoffCap")}: must not be less than ${nameOf("backoffBase")}`)
  }
  for (const name of ["uploadPrefix", "blobPrefix"] as const) {
    const problem = problemOf(settings[name])
    if (problem !== null) problems.push(`${nameOf(name)}: ${problem}`)
  }
  if (blobPrefix.startsWith(uploadPrefix) || uploadPrefix.startsWith(blobPrefix)) {
    problems.push(
      `${nameOf("blobPrefix")}: must not overlap ${nameOf("uploadPrefix")}, or blobs would look like staged uploads`
    )
  }
  return problems
}

/** Behind the prefix a key has up to 178 bytes: an algorithm, a digest of 128 digits, a nonce. Keys have 1024. */
const bytesMax = 800

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
