/**
 * The error codes of S3 stores and of the way to them: what each means, and what to do.
 *
 * A code that is not here has its HTTP status for a reason, and the store's own text.
 */
import { certificateProblems, remedyOf } from "../../domain/Certificates.ts"
import type { StorageFailure } from "../../domain/StorageError.ts"

/** Explains a code. */
export interface Meaning {
  /** The reason, where the HTTP status would mislead or there is none. */
  readonly reason?: StorageFailure
  /** What it means, in a clause. The store's own text follows it. */
  readonly says: string
  /** What to do, in sentences. Default: the next step of the reason. */
  readonly next?: string
}

const region: Meaning = {
  says: "the bucket is in another region",
  next: "Set S3_REGION to the bucket's region, and S3_ENDPOINT to that region's endpoint."
}

const expired: Meaning = {
  reason: "AccessDenied",
  says: "the temporary credentials are over",
  next: "Set new S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY and S3_SESSION_TOKEN, or let the process have a role, whose credentials it renews by itself."
}

const slower: Meaning = { reason: "Throttled", says: "the store asks for fewer requests" }

const full: Meaning = {
  reason: "Unavailable",
  says: "the store is full",
  next: "Give the store more space or a higher quota. Deletes are still possible, so a sweep may free some."
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and codes of other stores. */
const ofTheStore: Readonly<Record<string, Meaning>> = {
  NoSuchBucket: {
    says: "the bucket does not exist",
    next: "Check S3_BUCKET and S3_ENDPOINT. artifact-gc creates no bucket."
  },
  InvalidBucketName: {
    says: "this is not the name of a bucket",
    next: "Write S3_BUCKET without s3://, slashes, blanks and capital letters."
  },
  NoSuchKey: { says: "the object does not exist" },
  // An answer to HEAD has no body, and so no code.
  NotFound: { says: "the bucket or the object does not exist" },
  AccessDenied: { says: "the credentials do not permit it" },
  Forbidden: { says: "the credentials do not permit it" },
  AccountProblem: { says: "the store has a problem with this account", next: "Ask the store's operator." },
  AllAccessDisabled: { says: "the store has disabled this bucket", next: "Ask the store's operator." },
  InvalidAccessKeyId: {
    says: "the store does not know this access key",
    next: "Check S3_ACCESS_KEY_ID, and that S3_ENDPOINT is the store that issued it."
  },
  SignatureDoesNotMatch: {
    says: "the secret key is not the access key's, or the request was changed on its way",
    next: "Check S3_SECRET_ACCESS_KEY for blanks and missing characters. If it is right, check S3_REGION, and that a proxy before the store keeps the Host header."
  },
  ExpiredToken: expired,
  TokenRefreshRequired: expired,
  InvalidToken: {
    reason: "AccessDenied",
    says: "the session token is not valid",
    next: "Check S3_SESSION_TOKEN. Permanent credentials have none."
  },
  CredentialsProviderError: {
    reason: "AccessDenied",
    says: "there are no credentials",
    next: "Set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or let the process have a role."
  },
  // By now the client has corrected its clock by the answer's Date, so the next attempt succeeds.
  RequestTimeTooSkewed: {
    reason: "Unavailable",
    says: "the clocks of this machine and of the store differ by more than the store allows",
    next: "Synchronize both clocks (NTP)."
  },
  SlowDown: slower,
  RequestLimitExceeded: slower,
  Throttling: slower,
  ThrottlingException: slower,
  TooManyRequests: slower,
  ServiceUnavailable: { says: "the store is overloaded or restarts" },
  InternalError: {
    says: "the store failed within",
    next: "Look into the store's own log; a running collector tries again in its next sweep."
  },
  RequestTimeout: { reason: "TimedOut", says: "the store waited too long for the request's bytes" },
  PermanentRedirect: region,
  TemporaryRedirect: region,
  AuthorizationHeaderMalformed: region,
  IllegalLocationConstraintException: region,
  EntityTooLarge: { reason: "TooLarge", says: "the object is larger than the store allows" },
  KeyTooLongError: { says: "the key is longer than the store allows" },
  NotImplemented: { says: "the store does not support this request" },
  MethodNotAllowed: { says: "the store does not allow this request" },
  InvalidObjectState: {
    says: "the object is archived",
    next: "Restore it from its archive class, or keep the bucket's lifecycle rules off these objects."
  },
  // Its status is 404, as for an absent object, but it means that another client ended the upload.
  NoSuchUpload: { reason: "Rejected", says: "another client ended the upload in parts" },
  QuotaExceeded: full,
  XMinioStorageFull: full
}

const address = "Check S3_ENDPOINT, and that the store runs and listens there."
const network = "Check the network between this machine and the store."

const silent = (says: string, next = network): Meaning => ({
  reason: "Unavailable",
  says: `the store does not answer: ${says}`,
  next
})

/** Certificates that Node refuses. */
const untrusted: Readonly<Record<string, Meaning>> = Object.fromEntries(
  Object.entries(certificateProblems).map(([code, problem]) => [
    code,
    silent(`its certificate ${problem.says}`, remedyOf(problem, { ca: "S3_TLS_CA", address: "S3_ENDPOINT" }))
  ])
)

/** Codes of sockets, of name servers and of TLS (Node's `error.code`). */
const ofTheWay: Readonly<Record<string, Meaning>> = {
  ECONNREFUSED: silent("nothing listens at its address", address),
  ECONNRESET: silent("the connection was reset"),
  ECONNABORTED: silent("the connection was closed"),
  EPIPE: silent("the connection was closed"),
  ERR_STREAM_PREMATURE_CLOSE: silent("the connection was closed in the middle of the answer"),
  ENOTFOUND: silent(
    "its host name does not exist",
    "Check S3_ENDPOINT. If its host name has the bucket's name before it, set S3_FORCE_PATH_STYLE=true."
  ),
  EAI_AGAIN: silent("the name server does not answer", "Check this machine's name server (DNS)."),
  EHOSTUNREACH: silent("there is no way to its address"),
  ENETUNREACH: silent("there is no way to its network"),
  // The client limits only the time to connect. Requests.ts limits the time to answer.
  ETIMEDOUT: silent("no connection in time", `${address} A firewall may drop the connection.`),
  TimeoutError: silent("no connection in time", `${address} A firewall may drop the connection.`),
  ...untrusted,
  EPROTO: silent("it does not speak TLS", "Write http:// in S3_ENDPOINT, or let the store speak TLS."),
  ERR_SSL_WRONG_VERSION_NUMBER: silent(
    "it does not speak TLS",
    "Write http:// in S3_ENDPOINT, or let the store speak TLS."
  )
}

/** The meanings by code. */
export const meanings: Readonly<Record<string, Meaning>> = { ...ofTheStore, ...ofTheWay }

/** The permission that an operation needs. */
const permissions = {
  list: "s3:ListBucket, and for uploads in parts s3:ListBucketMultipartUploads and s3:ListMultipartUploadParts",
  delete: "s3:DeleteObject, and for versions s3:ListBucketVersions and s3:DeleteObjectVersion",
  put: "s3:PutObject",
  copy: "s3:GetObject and s3:PutObject",
  get: "s3:GetObject",
  head: "s3:GetObject and s3:ListBucket",
  abort: "s3:AbortMultipartUpload",
  probe: "s3:ListBucket and the permissions to read the bucket's settings"
} as const

/** Returns the next step for credentials that do not permit an operation. */
export const grant = (operation: keyof typeof permissions): string =>
  `Grant these credentials ${permissions[operation]} (docs/operations.md), and check that no bucket policy denies it.`
