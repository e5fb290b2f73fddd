/** The translation of file system errors into failures of the store. */
import { StorageError, type StorageFailure } from "../../domain/StorageError.ts"
import { type DeleteFailureReason, fromFailure } from "../DeleteFailure.ts"

/** Explains a code. */
interface Meaning {
  readonly reason: StorageFailure
  /** What it means, in a clause. Node's own text follows it. */
  readonly says: string
  /** What to do, in sentences. Default: the next step of the reason. */
  readonly next?: string
}

const allow =
  "Let the user of this process read and write FILES_DIRECTORY and everything below it: chown -R it, or choose another directory."
const space = "Free space on the file system of FILES_DIRECTORY. Deletes are still possible."
const disk = "Check the disk below FILES_DIRECTORY and the kernel's log (dmesg)."
const mount = "Check that the file system of FILES_DIRECTORY is mounted and its server reachable."
const files = "Raise the limit of open files (ulimit -n, or LimitNOFILE of the service)."
const other = "Another program changed FILES_DIRECTORY, or a key does not fit this file system."

/** The meanings of Node's codes: https://man7.org/linux/man-pages/man3/errno.3.html. */
export const meanings: Readonly<Record<string, Meaning>> = {
  EACCES: { reason: "AccessDenied", says: "the file system's permissions forbid it", next: allow },
  EPERM: { reason: "AccessDenied", says: "the file system forbids it", next: allow },
  EROFS: {
    reason: "AccessDenied",
    says: "the file system is read-only",
    next: "Mount it for writing. The kernel mounts a disk read-only after an error: see its log (dmesg)."
  },
  ENOENT: {
    reason: "NotFound",
    says: "the directory or the object does not exist",
    next: "Check FILES_DIRECTORY, and that its file system is mounted."
  },
  EAGAIN: { reason: "Unavailable", says: "the file system is busy" },
  EBUSY: { reason: "Unavailable", says: "another program uses the file", next: other },
  EDQUOT: { reason: "Unavailable", says: "the disk quota is used up", next: space },
  EIO: { reason: "Unavailable", says: "the disk failed", next: disk },
  EMFILE: { reason: "Unavailable", says: "this process has too many open files", next: files },
  ENFILE: { reason: "Unavailable", says: "this machine has too many open files", next: files },
  ENOMEM: { reason: "Unavailable", says: "this machine has no memory left" },
  ENOSPC: { reason: "Unavailable", says: "the disk is full", next: space },
  ESTALE: { reason: "Unavailable", says: "the mounted file system was replaced", next: mount },
  ETIMEDOUT: { reason: "Unavailable", says: "the mounted file system does not answer", next: mount },
  EEXIST: { reason: "Rejected", says: "the name exists", next: other },
  EFBIG: { reason: "TooLarge", says: "the file is larger than the file system allows" },
  EINVAL: { reason: "Rejected", says: "the file system refuses the name or the request", next: other },
  EISDIR: { reason: "Rejected", says: "a directory has the object's name", next: other },
  ELOOP: { reason: "Rejected", says: "symbolic links form a circle", next: other },
  ENAMETOOLONG: { reason: "Rejected", says: "the name is longer than the file system allows", next: other },
  ENOTDIR: { reason: "Rejected", says: "a file has the name of a directory", next: other },
  EXDEV: {
    reason: "Rejected",
    says: "FILES_DIRECTORY spans two file systems",
    next: "Keep .incoming on the file system of FILES_DIRECTORY."
  }
}

/** Returns the `code` of an error of node:fs, such as `ENOENT`, or `Unknown`. */
export const codeOf = (cause: unknown): string => {
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined
  return typeof code === "string" ? code : "Unknown"
}

/** Returns whether the file does not exist. ENOTDIR: a file has the name of one of its directories. */
export const isAbsent = (cause: unknown): boolean => codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR"

/** Returns the failure that an error of node:fs means to a caller of the store. */
export const fromFileSystem = (
  operation: StorageError["operation"],
  subject: string,
  cause: unknown
): StorageError => {
  const { next, reason = "Unknown", says }: Partial<Meaning> = meanings[codeOf(cause)] ?? {}
  const text = cause instanceof Error ? cause.message : String(cause)
  return new StorageError({
    operation,
    subject,
    reason,
    detail: says === undefined ? text : `${says} (${text})`,
    ...(next === undefined ? {} : { next }),
    cause
  })
}

/** Errors that a single file may give for ever on a disk that works otherwise: see `isStoreTrouble`. */
const ofOneFile = new Set(["EBUSY", "EIO"])

/** Returns the reason why one file could not be deleted. */
export const keyReason = (code: string): DeleteFailureReason =>
  ofOneFile.has(code) ? "internal" : fromFailure(meanings[code]?.reason ?? "Unknown")
