/** The one place where an error of the file system becomes a `StorageError`. */
import type { StorageFailure } from "../../domain/StorageError.ts"
import { StorageError } from "../../domain/StorageError.ts"
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

/** The `code` of an error of node:fs, such as `ENOENT`. */
export const codeOf = (cause: unknown): string => {
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined
  return typeof code === "string" ? code : "Unknown"
}

/** Whether the error says that there is no such file. ENOTDIR: a file is where one of its directories would be. */
export const isAbsent = (cause: unknown): boolean => codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR"

/** What an error of node:fs means to a caller of the store. */
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

/** Errors that a single file may have for ever, on a disk that works: see `isStoreTrouble`. */
const ofOneFile = new Set(["EBUSY", "EIO"])

/** Returns why one file could not be removed. */
export const keyReason = (code: string): DeleteFailureReason =>
  ofOneFile.has(code) ? "internal" : fromFailure(reasons[code] ?? "Unknown")
