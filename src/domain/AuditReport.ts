/** What an audit found: plain, encodable data. Each finding held when it was looked at a second time. */
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
  /** Who is affected; empty when nothing refers to the blob. */
  referrers: Schema.Array(Referrer)
}

/** An object that neither row nor upload nor journal names, older than the leftover grace. It costs space. */
export const OwnerlessObject = Schema.TaggedStruct("OwnerlessObject", {
  key: Schema.String,
  sizeBytes: Schema.Finite,
  /** By the store's clock, ISO 8601. */
  modifiedAt: Schema.String
})

/** A blob's row whose object is not there: whoever refers to it cannot read it. */
export const MissingObject = Schema.TaggedStruct("MissingObject", {
  ...blob,
  sizeBytes: Schema.NullOr(Schema.Finite)
})

/** A blob's row and its object tell different sizes. */
export const SizeMismatch = Schema.TaggedStruct("SizeMismatch", {
  ...blob,
  rowBytes: Schema.Finite,
  objectBytes: Schema.Finite
})

/** The object's bytes do not hash to the blob's digest. */
export const DigestMismatch = Schema.TaggedStruct("DigestMismatch", {
  ...blob,
  actual: Schema.String,
  sizeBytes: Schema.Finite
})

export const Finding = Schema.Union([OwnerlessObject, MissingObject, SizeMismatch, DigestMismatch])
export type Finding = typeof Finding.Type

/** Counts of one run; one that went on from a key counts from there. */
export const AuditSummary = Schema.TaggedStruct("AuditSummary", {
  /** Everything after `after` was looked at, and what was to be repaired is journaled. */
  complete: Schema.Boolean,
  /** Why it is not complete. */
  stoppedBy: Schema.NullOr(Schema.Literals(["stopped", "failure"])),
  prefix: Schema.String,
  after: Schema.NullOr(Schema.String),
  /**
   * Up to here both sides have been compared; another audit can go on after it. Null when it did not come to
   * one.
   */
  lastKey: Schema.NullOr(Schema.String),
  startedAt: Schema.String,
  durationMillis: Schema.Finite,
  /** Listed in the store. */
  listed: Amount,
  /** Rows of blobs, with the sizes that they tell. */
  rows: Amount,
  /** Blobs whose object is there, with the right size where the row tells one. */
  sound: Count,
  /**
   * Of those, read and found to be what their digest says; and those whose digest is not one we can compute.
   */
  digests: Schema.Struct({ verified: Count, bytes: Schema.Finite, unverifiable: Count }),
  /** Objects of uploads that have been announced and not finished. */
  underWay: Amount,
  /** Objects whose keys are journaled. */
  awaitingDeletion: Amount,
  /**
   * Staged uploads: chunks of upload sessions, and what is below the upload prefix, which the sweep judges by
   * session.
   */
  staged: Amount,
  /** Owned by nothing and younger than the leftover grace. */
  young: Amount,
  /** What looked wrong at first and was right, or gone, when it was looked at again. */
  settled: Count,
  findings: Schema.Struct({
    ownerless: Amount,
    missing: Amount,
    sizeMismatches: Count,
    digestMismatches: Count
  }),
  /** What --repair has journaled, and when it is due, ISO 8601; null when nothing was to be repaired. */
  repaired: Schema.NullOr(Schema.Struct({ ...Amount.fields, dueAt: Schema.String }))
})
export type AuditSummary = typeof AuditSummary.Type

/** What an audit tells: findings in key order, then one summary. */
export const AuditEvent = Schema.Union([
  OwnerlessObject,
  MissingObject,
  SizeMismatch,
  DigestMismatch,
  AuditSummary
])
export type AuditEvent = typeof AuditEvent.Type
