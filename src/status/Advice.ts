/** What an operator should do next. Each rule looks at the status and may say one thing. */
import { Duration } from "effect"
import type { Advice, Queue, Severity, Status } from "./Status.ts"

type Found = Omit<Status, "advice" | "health">
type Rule = (found: Found, at: number) => ReadonlyArray<Advice>

/** How late the first row of a queue, or a sweep, may be: sweeps may take an hour, and intervals are about as long. */
const tolerated = Duration.toMillis(Duration.hours(3))

const say = (severity: Severity, what: string, command: string | null = null): ReadonlyArray<Advice> => [
  { severity, what, command }
]
const nothing: ReadonlyArray<Advice> = []

/** Guards that stop sweeps only while an operator wants it, or that have a rule of their own. */
const saidElsewhere: ReadonlySet<string> = new Set(["pause", "breaker", "age"])

/** The command that shows what a guard found, with its fix; `doctor` asks all guards. */
const shownBy: Readonly<Record<string, string>> = {
  settings: "artifact-gc collectors",
  binding: "artifact-gc rebind"
}

const refused: Rule = ({ guards, last }) => {
  if (last?.outcome !== "refused") return nothing
  return guards
    .filter(({ decision, guard }) => decision === "refused" && !saidElsewhere.has(guard))
    .flatMap(({ guard, message }) =>
      say(
        "broken",
        `The ${guard} guard refuses: nothing is deleted. ${message}`,
        shownBy[guard] ?? "artifact-gc doctor"
      )
    )
}

const failed: Rule = ({ last, lastSuccessAt }) => {
  if (last?.outcome !== "failed") return nothing
  const messages = Object.entries(last.report?.phases ?? {}).flatMap(([phase, { error }]) =>
    error === null ? [] : [`${phase}: ${error.message}`]
  )
  return say(
    lastSuccessAt === null ? "broken" : "attention",
    `The last sweep failed in part, and the next tries again. ${messages[0] ?? "See its report for the keys that were not deleted."}`,
    "artifact-gc history --json"
  )
}

/** A request that fails is tried for longer than a phase, so a store that hangs is told of before the sweep has ended. */
const failing: Rule = ({ collectors, last, lastSuccessAt }) => {
  if (last?.outcome === "failed") return nothing
  const [first] = collectors.flatMap(({ id, sweep }) =>
    sweep === null || hasSucceededSince(lastSuccessAt, sweep.at)
      ? []
      : sweep.failures.map((failure) => ({ id, ...failure }))
  )
  return first === undefined
    ? nothing
    : say(
        "attention",
        `The sweep of ${first.id} that is under way fails in part, and the next tries again. ${first.phase}: ${first.message}`
      )
}

/** A sweep tells every 5 seconds how far it is, between its requests. */
const silence = Duration.toMillis(Duration.minutes(1))

const hasSucceededSince = (lastSuccessAt: string | null, at: string): boolean =>
  lastSuccessAt !== null && Date.parse(lastSuccessAt) > Date.parse(at)

/** A sweep that succeeded since shows that store and database answer, so a process was killed. */
const silent: Rule = ({ collectors, lastSuccessAt }, at) =>
  collectors.flatMap(({ id, sweep }) =>
    sweep !== null && at - Date.parse(sweep.at) > silence
      ? say(
          hasSucceededSince(lastSuccessAt, sweep.at) ? "info" : "attention",
          `The sweep of ${id} was last heard of at ${sweep.at}. A request to the store or the database takes long, or the process ended. Look at its log, and at both servers.`
        )
      : nothing
  )

/** A timer or a CronJob sweeps once a day at least. Between, no collector is at work. */
const daily = Duration.toMillis(Duration.hours(25))

const absent: Rule = ({ activity, last }, at) => {
  if (activity !== "absent") return nothing
  if (last === null) {
    return say("broken", "No collector has swept this catalogue yet. Start one.", "artifact-gc run")
  }
  const since = at - Date.parse(last.endedAt)
  return say(
    since > 2 * daily ? "broken" : since > daily ? "attention" : "info",
    `No collector is at work. The last sweep ended at ${last.endedAt}. Start one, unless a timer runs sweeps.`,
    "artifact-gc run"
  )
}

const late: Rule = ({ activity, nextDueAt }, at) =>
  activity === "waiting" && nextDueAt !== null && at - Date.parse(nextDueAt) > tolerated
    ? say(
        "broken",
        `A sweep is due since ${nextDueAt} and has not begun. Its process is stuck or was killed.`
      )
    : nothing

const paused: Rule = ({ pause }) =>
  pause === null
    ? nothing
    : say(
        pause.until === null ? "attention" : "info",
        `Collection is paused since ${pause.since} by ${pause.by}: ${pause.reason}. ${pause.until === null ? "It lasts until it is ended." : `It ends at ${pause.until}.`}`,
        "artifact-gc resume"
      )

/** Breakers that ask about the catalogue or the database, and not about an amount. */
const asking: ReadonlySet<string> = new Set(["age", "references", "sources", "unreferenced"])

const open: Rule = ({ breakers }) =>
  breakers
    .filter((breaker) => breaker.open)
    .flatMap(({ name, trippedAt }) =>
      say(
        "attention",
        `The breaker ${name} is open since ${trippedAt}${asking.has(name) ? " and waits for an answer." : ": more would be deleted than a mistake may take."} Look at it, then confirm or repair.`,
        "artifact-gc breaker"
      )
    )

const lengthOf = (queues: ReadonlyArray<Queue>, name: Queue["queue"]): number =>
  queues.find(({ queue }) => queue === name)?.length ?? 0

const dead: Rule = ({ queues }) => {
  const length = lengthOf(queues, "dead_letters")
  return length === 0
    ? nothing
    : say(
        "attention",
        `${length} ${length === 1 ? "key was" : "keys were"} given up on. See why, repair the cause, then put them back with --retry.`,
        "artifact-gc journal"
      )
}

/** Intents, pins and sessions end at the first sweep after they are due, as the rest does. */
const overdue: Rule = ({ activity, breakers, last, queues }) => {
  const isExplained =
    activity === "paused" ||
    activity === "absent" ||
    last === null ||
    breakers.some((breaker) => breaker.open)
  return isExplained
    ? nothing
    : queues
        .filter(({ overdueMillis }) => overdueMillis > tolerated)
        .flatMap(({ dueAt, queue }) =>
          say(
            "attention",
            `The queue ${queue} is overdue: its first row is due since ${dueAt}. Sweeps do not get to it.`,
            "artifact-gc history"
          )
        )
}

const differing: Rule = ({ collectors }) => {
  const names = [...new Set(collectors.flatMap(({ differs }) => differs))]
  return names.length === 0
    ? nothing
    : say(
        "attention",
        `Collectors differ in ${names.join(", ")}. The shortest of all waits would be in force, so sweeps refuse. Give them the same values.`,
        "artifact-gc collectors"
      )
}

/** An audit that finds nothing ends it. Ownerless objects only use space, and searches for leftovers find them, too. */
const damaged: Rule = ({ lastAudit }) => {
  if (lastAudit === null) return nothing
  const { digestMismatches, endedAt, missing, sizeMismatches } = lastAudit
  const blobs = missing.objects + sizeMismatches + digestMismatches
  return blobs === 0
    ? nothing
    : say(
        "attention",
        `The audit of ${endedAt} found ${blobs} ${blobs === 1 ? "blob" : "blobs"} whose object is missing or differs. Clients cannot read them. Restore the objects or delete the rows, and audit again.`,
        "artifact-gc audit"
      )
}

const changed: Rule = ({ overrides }) =>
  overrides.flatMap(({ by, name, reason, until, value }) =>
    say(
      "info",
      `${name} is ${value} for all collectors${until === null ? "" : ` until ${until}`}, set by ${by}: ${reason}.`,
      `artifact-gc unset ${name}`
    )
  )

const rules: ReadonlyArray<Rule> = [
  refused,
  absent,
  late,
  failed,
  failing,
  silent,
  open,
  dead,
  damaged,
  differing,
  overdue,
  paused,
  changed
]

const rank: Record<Severity, number> = { broken: 0, attention: 1, info: 2 }

/** Returns the advice at `at`, worst first. Empty if all is well. */
export const adviceOf = (at: number, found: Found): ReadonlyArray<Advice> =>
  rules.flatMap((rule) => rule(found, at)).sort((a, b) => rank[a.severity] - rank[b.severity])
