/** The result of an audit: plain, encodable data. Each finding was confirmed by a second look. */
import { Schema } from "effect"

const Count = Schema.Int
const Amount = Schema.Struct({ objects: Count, bytes: Schema.Finite })

/** Rows that refer to a blob. */
const Referrer = Schema.Struct({
  table: Schema.String,
  column: Schema.String,
  rows: Count,
  sample: Schema.Array(Schema.String)
})

const blob = {
  key: Schema.String,
  digest: Schema.String,
  /** Rows that refer to the blob; empty without any. */
  referrers: Schema.Array(Referrer)
}

/** An object that no row, upload or journal entry owns, older than the leftover grace. It only uses space. */
export const OwnerlessObject = Schema.TaggedStruct("OwnerlessObject", {
  /** Key of the object. */
  key: Schema.String,
  /** Size of the object. */
  sizeBytes: Schema.Finite,
  /** When it was written, by the store's clock, ISO 8601. */
  modifiedAt: Schema.String
})

/** A blob's row without an object. Clients cannot read what refers to it. */
export const MissingObject = Schema.TaggedStruct("MissingObject", {
  ...blob,
  /** Size by the row; null if the row has none. */
  sizeBytes: Schema.NullOr(Schema.Finite)
})

/** A blob whose row and object have different sizes. */
export const SizeMismatch = Schema.TaggedStruct("SizeMismatch", {
  ...blob,
  /** Size by the row. */
  rowBytes: Schema.Finite,
  /** Size of the object. */
  objectBytes: Schema.Finite
})

/** A blob whose object's bytes do not hash to its digest. */
export const DigestMismatch = Schema.TaggedStruct("DigestMismatch", {
  ...blob,
  /** Digest of the bytes. */
  actual: Schema.String,
  /** Size of the object. */
  sizeBytes: Schema.Finite
})

/** One finding of an audit. */
export const Finding = Schema.Union([OwnerlessObject, MissingObject, SizeMismatch, DigestMismatch])
export type Finding = typeof Finding.Type

/** Counts of one run. A run that continued after a key counts from there. */
export const AuditSummary = Schema.TaggedStruct("AuditSummary", {
  /** Whether everything after `after` was compared, and everything to be repaired is journaled. */
  complete: Schema.Boolean,
  /** Why it is not complete; null if it is. */
  stoppedBy: Schema.NullOr(Schema.Literals(["stopped", "failure"])),
  /** Prefix of the keys that were compared. */
  prefix: Schema.String,
  /** Key after which the run began; null from the first. */
  after: Schema.NullOr(Schema.String),
  /**
   * Key up to which both sides were compared. Another audit can continue after it. Null if no key was
   * compared.
   */
  lastKey: Schema.NullOr(Schema.String),
  /** Beginning of the run, ISO 8601. */
  startedAt: Schema.String,
  /** Duration of the run. */
  durationMillis: Schema.Finite,
  /** Objects listed in the store. */
  listed: Amount,
  /** Rows of blobs, with the sizes by the rows. */
  rows: Amount,
  /** Blobs whose object exists, with the right size if the row has one. */
  sound: Count,
  /**
   * Of the sound blobs: those whose bytes were read and have the right digest, and those whose digest cannot
   * be computed.
   */
  digests: Schema.Struct({ verified: Count, bytes: Schema.Finite, unverifiable: Count }),
  /** Objects of uploads that are announced and not finished. */
  underWay: Amount,
  /** Objects whose keys are journaled. */
  awaitingDeletion: Amount,
  /**
   * Staged uploads: chunks of upload sessions, and objects below the upload prefix, whose age the sweep
   * checks per upload.
   */
  staged: Amount,
  /** Objects without an owner that are younger than the leftover grace. */
  young: Amount,
  /** Suspicions that the second look did not confirm: sound by then, or deleted. */
  settled: Count,
  /** Findings by kind. */
  findings: Schema.Struct({
    ownerless: Amount,
    missing: Amount,
    sizeMismatches: Count,
    digestMismatches: Count
  }),
  /** What `--repair` journaled, and when it is due, ISO 8601; null if it journaled nothing. */
  repaired: Schema.NullOr(Schema.Struct({ ...Amount.fields, dueAt: Schema.String }))
})
export type AuditSummary = typeof AuditSummary.Type

/** An event of an audit: findings in key order, then one summary. */
export const AuditEvent = Schema.Union([
  OwnerlessObject,
  MissingObject,
  SizeMismatch,
  DigestMismatch,
  AuditSummary
])
export type AuditEvent = typeof AuditEvent.Type
