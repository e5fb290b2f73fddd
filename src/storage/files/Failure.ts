/** The translation of file system errors into failures of the store. */
import { StorageError, type StorageFailure } from "../../domain/StorageError.ts"
import { type DeleteFailureReason, fromFailure } from "../DeleteFailure.ts"

const reasons: Record<string, StorageFailure> = {
  EACCES: "AccessDenied",
  EPERM: "AccessDenied",
  EROFS: "AccessDenied",
  ENOENT: "NotFound",
  EAGAIN: "Unavailable",
  EBUSY: "Unavailable",
  EDQUOT: "Unavailable",
  EIO: "Unavailable",
  EMFILE: "Unavailable",
  ENFILE: "Unavailable",
  ENOMEM: "Unavailable",
  ENOSPC: "Unavailable",
  ESTALE: "Unavailable",
  ETIMEDOUT: "Unavailable",
  EEXIST: "Rejected",
  EFBIG: "Rejected",
  EINVAL: "Rejected",
  EISDIR: "Rejected",
  ELOOP: "Rejected",
  ENAMETOOLONG: "Rejected",
  ENOTDIR: "Rejected",
  EXDEV: "Rejected"
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
): StorageError =>
  new StorageError({
    operation,
    subject,
    reason: reasons[codeOf(cause)] ?? "Unknown",
    detail: cause instanceof Error ? cause.message : String(cause),
    cause
  })

/** Errors that a single file may give for ever on a disk that works otherwise: see `isStoreTrouble`. */
const ofOneFile = new Set(["EBUSY", "EIO"])

/** Returns the reason why one file could not be deleted. */
export const keyReason = (code: string): DeleteFailureReason =>
  ofOneFile.has(code) ? "internal" : fromFailure(reasons[code] ?? "Unknown")
