/** Numbers and reports as text for operators. */
import { printable } from "../domain/printable.ts"
import type { PhaseReport, StoppedBy, SweepReport } from "../domain/SweepReport.ts"
import { bytes, count, many, span } from "../domain/Units.ts"
import { registryPhases } from "../oci/RegistryPhases.ts"
import * as Links from "./Links.ts"

export { bytes, count, many, span }

const reasons = (counts: Readonly<Record<string, number>>, heldUntil?: string): string =>
  Object.entries(counts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([reason, n]) =>
      reason === "held" && heldUntil !== undefined
        ? `held: ${count(n)} until ${heldUntil}`
        : `${count(n)} ${reason}`
    )
    .join(", ")

/** Pads columns to their widest cell. Numbers are aligned to the right. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 || column >= 5 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
      )
      .join("  ")
      .trimEnd()
  )
}

const bounds: Record<StoppedBy, string> = {
  count: "GC_SWEEP_MAX_DELETES",
  time: "GC_SWEEP_MAX_DURATION",
  stopped: "a signal",
  failure: "a failure"
}

const outcomeText = ({ guards, outcome, phases }: SweepReport): string => {
  switch (outcome) {
    case "complete":
      return "complete"
    case "bounded": {
      const by = new Set(Object.values(phases).flatMap(({ stoppedBy }) => stoppedBy ?? []))
      return `ended early by ${[...by].map((why) => bounds[why]).join(" and ")}; the next sweep continues from here`
    }
    case "failed":
      return "incomplete, see below"
    case "refused": {
      const guard = guards.find(({ decision }) => decision === "refused")?.guard ?? "schema"
      if (guard !== "breaker") return `refused by the ${guard} guard, nothing was deleted`
      const held = Object.keys(phases).filter((name) => phases[name]?.error?.tag === "BreakerOpen")
      return `the breaker holds back ${held.join(" and ")}, see below`
    }
  }
}

/** Phases that are hidden without work: most catalogues have no unannounced writers, and many have no registry. */
const quiet = new Set(registryPhases.filter(({ isQuiet }) => isQuiet).map(({ name }) => name))

const isShown = ([name, { error, seen }]: readonly [string, PhaseReport]): boolean =>
  !quiet.has(name) || seen > 0 || error !== null

/** Returns a report as a table, followed by failures and what is left to do. */
export const report = (sweep: SweepReport): string => {
  const phase = (
    name: string,
    p: Pick<PhaseReport, "seen" | "eligible" | "deleted" | "bytes" | "failed" | "kept" | "heldUntil">
  ) => [
    name,
    count(p.seen),
    count(p.eligible),
    count(p.deleted),
    bytes(p.bytes),
    reasons(p.failed),
    reasons(p.kept, p.heldUntil)
  ]
  const { phases, totals, left } = sweep
  const rows = [
    ["", "seen", "eligible", "deleted", "size", "failed", "kept"],
    ...Object.entries(phases)
      .filter(isShown)
      .map(([name, one]) => phase(name, one)),
    [
      "total",
      "",
      count(totals.eligible),
      count(totals.deleted),
      bytes(totals.bytes),
      count(totals.failed),
      ""
    ]
  ]
  const findings = findingsOf(sweep).map(({ names, message }) => `${names.join(", ")}: ${message}`)
  const unlisted = Object.entries(phases).flatMap(([name, { unlisted }]) =>
    unlisted === undefined ? [] : `${name}: ${unlisted}`
  )
  const samples = Object.values(phases).flatMap(({ sample }) =>
    sample.map((item) => `  would delete ${printable(item)}`)
  )
  return [
    `${sweep.dryRun ? "Dry run" : "Sweep"} of ${sweep.startedAt}: ${outcomeText(sweep)}; took ${span(sweep.durationMillis)}`,
    ...table(rows),
    ...samples,
    ...(sweep.dryRun && totals.eligible > samples.length ? [`  … ${count(totals.eligible)} in all`] : []),
    ...hiddenText(sweep),
    ...findings,
    ...docsOf(sweep).map((section) => `See ${section}.`),
    ...unlisted,
    ...(left === null ? [] : [leftText(left)])
  ].join("\n")
}

/** Returns the sections of the documentation about what refused. */
export const docsOf = ({ guards }: SweepReport): ReadonlyArray<string> => [
  ...new Set(guards.flatMap(({ decision, guard }) => (decision === "refused" ? [Links.ofGuard(guard)] : [])))
]

/** Returns the findings of the guards, and each other error once with the phases that it ended. */
export const findingsOf = ({ guards, phases }: SweepReport) => {
  const said = new Set(guards.map(({ message }) => message))
  const byMessage = new Map<string, Array<string>>()
  for (const [name, { error }] of Object.entries(phases)) {
    const message = error?.message
    if (message === undefined || said.has(message)) continue
    byMessage.set(message, [...(byMessage.get(message) ?? []), name])
  }
  return [
    ...guards.map(({ guard, message }) => ({ message, names: [guard] })),
    ...[...byMessage].map(([message, names]) => ({ message, names }))
  ]
}

/** Says which part of the size was not reclaimed: readers take a size for freed space. */
const hiddenText = ({ dryRun, totals }: SweepReport): ReadonlyArray<string> => {
  const hidden = totals.bytes - totals.reclaimedBytes
  if (hidden === 0) return []
  return [
    `${bytes(hidden)} ${dryRun ? "would be" : "are"} hidden behind delete markers and not reclaimed: the bucket is versioned, and S3_VERSIONED_DELETE is markers.`
  ]
}

/** Returns what waits after a sweep in a line; none if nothing does. */
export const waiting = ({ left }: SweepReport): ReadonlyArray<string> =>
  left === null || left.waiting + left.condemned + left.journaled + left.deadLetters === 0
    ? []
    : [leftText(left)]

const leftText = (left: NonNullable<SweepReport["left"]>): string => {
  const due = left.nextDueAt === null ? "" : `; next due ${left.nextDueAt}`
  const dead =
    left.deadLetters === 0 ? "" : `, ${many(left.deadLetters, "dead letter")} (see: artifact-gc journal)`
  const intents = left.intents === 0 ? "" : `, ${many(left.intents, "upload")} announced`
  const sessions = left.sessions === 0 ? "" : `, ${many(left.sessions, "upload session")} open`
  const pins = left.pins === 0 ? "" : `, ${many(left.pins, "pin")}`
  return `Left: ${many(left.waiting, "orphan")} within grace, ${count(left.condemned)} condemned (${bytes(left.condemnedBytes)}), ${count(left.journaled)} journaled${intents}${sessions}${pins}${dead}${due}`
}
