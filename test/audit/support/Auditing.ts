/** How the tests of the audit run one, and what the first look alone would have said. */
import { Effect, type Exit, Stream } from "effect"
import { type AuditError, type AuditOptions, type AuditSettings, findings } from "../../../src/audit/Audit.ts"
import { sort } from "../../../src/audit/FirstLook.ts"
import * as Merge from "../../../src/audit/Merge.ts"
import type { AuditEvent, AuditSummary, Finding } from "../../../src/domain/AuditReport.ts"
import { defaultSettings } from "../../../src/sweep/Settings.ts"

export interface Audited {
  readonly findings: ReadonlyArray<Finding>
  /** Undefined when the audit did not begin. */
  readonly summary: AuditSummary | undefined
  readonly exit: Exit.Exit<void, AuditError>
}

/** Runs an audit to its end, whichever that is. */
export const audited = Effect.fnUntraced(function* (options: AuditOptions = {}) {
  const events: Array<AuditEvent> = []
  const exit = yield* Effect.exit(
    Stream.runForEach(findings(options), (event) => Effect.sync(() => void events.push(event)))
  )
  const summaries = events.filter((event) => event._tag === "AuditSummary")
  if (summaries.length > 1 || (summaries.length === 1 && events.at(-1) !== summaries[0])) {
    return yield* Effect.die(new Error("one summary, and last"))
  }
  return {
    findings: events.filter((event) => event._tag !== "AuditSummary"),
    summary: summaries[0],
    exit
  } satisfies Audited
})

/** The same of one that must succeed. */
export const audit = Effect.fnUntraced(function* (options: AuditOptions = {}) {
  const { findings, summary, exit } = yield* audited(options)
  yield* exit
  if (summary === undefined) return yield* Effect.die(new Error("an audit ends with a summary"))
  return { findings, summary }
})

/** The keys that an audit without its second look would report. */
export const firstLook = (prefix = "", settings: Partial<AuditSettings> = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const next = yield* Merge.make(prefix, null)
      const suspects: Array<string> = []
      for (let window = yield* next; window !== null; window = yield* next) {
        const { unowned, doubtful } = sort(window.entries, { ...defaultSettings, ...settings })
        suspects.push(...[...unowned, ...doubtful].map(({ key }) => key))
      }
      return suspects
    })
  )

export const named = (found: ReadonlyArray<Finding>): ReadonlyArray<string> =>
  found.map(({ _tag, key }) => `${_tag} ${key}`)
