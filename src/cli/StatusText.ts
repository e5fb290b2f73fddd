/** The status of a catalogue's collectors as text for operators. */
import { printable } from "../domain/printable.ts"
import type { CollectorState, PhaseProgress, Queue, Status } from "../status/Status.ts"
import { hanging } from "./Terminal.ts"
import * as Text from "./Text.ts"

/** Returns the status as text: health, advice, sweeps, queues, collectors. Parts without content are left out. */
export const status = (found: Status, width = Number.POSITIVE_INFINITY): string =>
  [
    `${headings[found.health]} ${doing(found)}`,
    ...found.advice.flatMap(({ command, severity, what }) => [
      ...hanging(`  ${severity}: `, what, width),
      ...(command === null ? [] : [`    → ${command}`])
    ]),
    "",
    ...sweeps(found),
    ...audit(found),
    "",
    ...Text.table([
      ["", "rows", "size", "oldest", "first due"],
      ...found.queues.map((one) => queue(one, found.at))
    ]),
    "",
    ...found.collectors.map((one) => collector(one, found.at)),
    `${Text.many(found.collectors.length, "collector")} at work on ${printable(found.database)}, at ${found.at}.`
  ].join("\n")

const headings: Record<Status["health"], string> = {
  ok: "OK.",
  attention: "ATTENTION.",
  broken: "BROKEN."
}

const doing = ({ activity, at, nextDueAt, pause }: Status): string => {
  switch (activity) {
    case "sweeping":
      return "Sweeping."
    case "paused":
      return `Paused since ${pause?.since}.`
    case "absent":
      return "No collector is at work."
    case "waiting":
      return nextDueAt === null ? "Waiting." : `Waiting for the next sweep, due ${when(nextDueAt, at)}.`
  }
}

/** Returns a time from or to the present, in words. */
const when = (instant: string, at: string): string => {
  const millis = Date.parse(instant) - Date.parse(at)
  return millis > 0 ? `in ${Text.span(millis)}` : `${Text.span(-millis)} ago`
}

const sweeps = ({ at, collectors, guards, last, lastSuccessAt }: Status): ReadonlyArray<string> => {
  const running = collectors.flatMap(({ id, sweep }) =>
    sweep === null
      ? []
      : [
          `Sweep of ${printable(id)}, begun ${when(sweep.startedAt, at)}:`,
          ...sweep.phases.map((phase) => `  ${progress(phase, at)}`)
        ]
  )
  if (last === null) return [...running, "No sweep has ended yet."]
  const totals = last.report?.totals
  const did =
    totals === undefined
      ? ""
      : `: ${Text.many(totals.deleted, "object")} deleted, ${Text.bytes(totals.bytes)}, ${Text.count(totals.failed)} failed`
  return [
    ...running,
    `Last sweep: ${printable(last.outcome)}, ended ${when(last.endedAt, at)}, by ${printable(last.collector)}${did}.`,
    ...(lastSuccessAt === null || lastSuccessAt === last.endedAt
      ? []
      : [`Last success: ${when(lastSuccessAt, at)}.`]),
    ...guards
      .filter(({ decision }) => decision === "allowed")
      .map(({ guard, message }) => `  ${guard}: ${message}`)
  ]
}

const audit = ({ at, lastAudit }: Status): ReadonlyArray<string> => {
  if (lastAudit === null) return []
  const { digestMismatches, endedAt, missing, ownerless, sizeMismatches } = lastAudit
  const damaged = missing.objects + sizeMismatches + digestMismatches
  return [
    `Last audit: ${when(endedAt, at)}, ${Text.many(ownerless.objects, "ownerless object")} of ${Text.bytes(ownerless.bytes)}, ${Text.many(damaged, "blob")} missing or different.`
  ]
}

const progress = (
  { bytes, deleted, endsAt, expected, perSecond, phase, seen }: PhaseProgress,
  at: string
): string => {
  const of = expected === null ? "" : ` of ${Text.count(expected)}`
  const left = endsAt === null ? "" : `, ends ${when(endsAt, at)}`
  return `${printable(phase)}: ${Text.count(seen)} seen, ${Text.count(deleted)}${of} deleted, ${Text.bytes(bytes)}, ${Text.count(Math.round(perSecond))}/s${left}`
}

const queue = ({ bytes, dueAt, length, oldestAt, queue: name }: Queue, at: string): ReadonlyArray<string> => [
  name.replaceAll("_", " "),
  Text.count(length),
  bytes === null || length === 0 ? "" : Text.bytes(bytes),
  oldestAt === null ? "" : when(oldestAt, at),
  dueAt === null ? "" : when(dueAt, at)
]

const collector = ({ activity, differs, id, nextDueAt, seenAt }: CollectorState, at: string): string => {
  const next = nextDueAt === null ? "" : `, next sweep ${when(nextDueAt, at)}`
  const other = differs.length === 0 ? "" : `, differs in ${differs.map(printable).join(", ")}`
  return `${printable(id)}: ${activity}, last sweep begun ${when(seenAt, at)}${next}${other}`
}
