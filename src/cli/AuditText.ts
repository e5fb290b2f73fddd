/** The text of an audit: its findings, its summary, and the command that continues it. */
import type { AuditSummary, Finding } from "../domain/AuditReport.ts"
import { printable } from "../domain/printable.ts"
import * as Text from "./Text.ts"

/** Returns a finding as one line. */
export const finding = (found: Finding): string => {
  switch (found._tag) {
    case "OwnerlessObject":
      return `ownerless  ${printable(found.key)}  ${Text.bytes(found.sizeBytes)}, written ${found.modifiedAt}`
    case "MissingObject":
      return `missing    ${printable(found.key)}  ${found.sizeBytes === null ? "" : `${Text.bytes(found.sizeBytes)}, `}${blob(found)}`
    case "SizeMismatch":
      return `size       ${printable(found.key)}  ${Text.count(found.objectBytes)} bytes, not ${Text.count(found.rowBytes)}, ${blob(found)}`
    case "DigestMismatch":
      return `digest     ${printable(found.key)}  ${printable(found.actual)}, ${blob(found)}`
  }
}

const blob = ({ digest, referrers }: Extract<Finding, { readonly digest: string }>): string => {
  const by = referrers.map(({ table, column, rows, sample }) => {
    const names = sample.map((name) => printable(JSON.stringify(name))).join(", ")
    return `${Text.many(rows, "row")} of ${table}.${column} (${names}${rows > sample.length ? ", …" : ""})`
  })
  return `blob ${printable(digest)}, ${by.length === 0 ? "not referenced" : `referenced by ${by.join(" and ")}`}`
}

interface Amount {
  readonly objects: number
  readonly bytes: number
}

const objects = ({ objects, bytes }: Amount): string =>
  objects === 0 ? "0" : `${Text.count(objects)} (${Text.bytes(bytes)})`

const named = ({ objects, bytes }: Amount, one: string, many: string): string =>
  `${Text.count(objects)} ${objects === 1 ? one : many} (${Text.bytes(bytes)})`

/** Returns the summary as several lines. `goOn` is the command that continues the audit, or null. */
export const summary = (s: AuditSummary, goOn: string | null): string => {
  const { ownerless, missing, sizeMismatches, digestMismatches } = s.findings
  const range = `${s.prefix === "" ? "everything" : `keys below ${printable(s.prefix)}`}${s.after === null ? "" : ` after ${printable(s.after)}`}`
  const digests =
    s.digests.verified + s.digests.unverifiable === 0
      ? []
      : [
          `Digests: ${Text.count(s.digests.verified)} verified (${Text.bytes(s.digests.bytes)} read), ${Text.count(s.digests.unverifiable)} not computable`
        ]
  return [
    `Audit of ${range}: ${s.complete ? "complete" : `ended early after a ${s.stoppedBy === "stopped" ? "signal" : "failure"}`}; took ${Text.span(s.durationMillis)}`,
    `Compared: ${named(s.listed, "object", "objects")}, ${named(s.rows, "row of a blob", "rows of blobs")}`,
    `Sound: ${Text.many(s.sound, "blob")}; ${objects(s.awaitingDeletion)} awaiting deletion, ${objects(s.underWay)} under way, ${objects(s.staged)} staged, ${objects(s.young)} too young to tell, ${Text.count(s.settled)} sound at the second look`,
    ...digests,
    `Found: ${objects(ownerless)} ownerless, ${objects(missing)} missing, ${Text.count(sizeMismatches)} with another size, ${Text.count(digestMismatches)} with another digest`,
    ...(s.repaired === null
      ? []
      : [`Journaled: ${objects(s.repaired)}; sweeps delete them from ${s.repaired.dueAt} on`]),
    ...(goOn === null ? [] : [`To continue: ${goOn}`])
  ].join("\n")
}

/** Quotes a word for a POSIX shell. Unprintable characters need `$'…'`, which bash and zsh read. */
export const quoted = (word: string): string => {
  if (/^[\w./:=@%+-]+$/.test(word)) return word
  if (!/[\p{Cc}\p{Cf}]/u.test(word)) return `'${word.replaceAll("'", "'\\''")}'`
  const escaped = Array.from(word, (character) =>
    /[\p{Cc}\p{Cf}\\']/u.test(character)
      ? [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")
      : character
  )
  return `$'${escaped.join("")}'`
}
