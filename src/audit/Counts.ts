/** The counts of an audit, which grow window by window. */
import type { AuditSummary, Finding } from "../domain/AuditReport.ts"

const zero = {
  listed: 0,
  listedBytes: 0,
  rows: 0,
  rowBytes: 0,
  sound: 0,
  verified: 0,
  verifiedBytes: 0,
  unverifiable: 0,
  underWay: 0,
  underWayBytes: 0,
  awaitingDeletion: 0,
  awaitingDeletionBytes: 0,
  staged: 0,
  stagedBytes: 0,
  young: 0,
  youngBytes: 0,
  settled: 0,
  ownerless: 0,
  ownerlessBytes: 0,
  missing: 0,
  missingBytes: 0,
  sizeMismatches: 0,
  digestMismatches: 0,
  /**
   * Objects below the blob prefix that a row or an upload owns, and those that nothing owns. A repair
   * compares them.
   */
  owned: 0,
  repairable: 0,
  repairableBytes: 0
}

/** The counts of an audit or of one window. */
export type Counts = typeof zero

/** Returns counts that are all zero. */
export const empty = (): Counts => ({ ...zero })

/** Adds `more` to `total`. */
export const add = (total: Counts, more: Counts): void => {
  for (const name of Object.keys(zero) as ReadonlyArray<keyof Counts>) total[name] += more[name]
}

/** Counts a finding. Ownerless objects below the blob prefix also count as repairable. */
export const addFinding = (counts: Counts, finding: Finding, blobPrefix: string): void => {
  switch (finding._tag) {
    case "OwnerlessObject":
      counts.ownerless += 1
      counts.ownerlessBytes += finding.sizeBytes
      if (!finding.key.startsWith(blobPrefix)) return
      counts.repairable += 1
      counts.repairableBytes += finding.sizeBytes
      return
    case "MissingObject":
      counts.missing += 1
      counts.missingBytes += finding.sizeBytes ?? 0
      return
    case "SizeMismatch":
      counts.sizeMismatches += 1
      return
    case "DigestMismatch":
      counts.digestMismatches += 1
  }
}

/** Returns the number of findings. */
export const findings = (counts: Counts): number =>
  counts.ownerless + counts.missing + counts.sizeMismatches + counts.digestMismatches

/** Returns the counts as they appear in a summary. */
export const summaryOf = (c: Counts) =>
  ({
    listed: { objects: c.listed, bytes: c.listedBytes },
    rows: { objects: c.rows, bytes: c.rowBytes },
    sound: c.sound,
    digests: { verified: c.verified, bytes: c.verifiedBytes, unverifiable: c.unverifiable },
    underWay: { objects: c.underWay, bytes: c.underWayBytes },
    awaitingDeletion: { objects: c.awaitingDeletion, bytes: c.awaitingDeletionBytes },
    staged: { objects: c.staged, bytes: c.stagedBytes },
    young: { objects: c.young, bytes: c.youngBytes },
    settled: c.settled,
    findings: {
      ownerless: { objects: c.ownerless, bytes: c.ownerlessBytes },
      missing: { objects: c.missing, bytes: c.missingBytes },
      sizeMismatches: c.sizeMismatches,
      digestMismatches: c.digestMismatches
    }
  }) satisfies Partial<AuditSummary>
