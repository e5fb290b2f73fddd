/** `artifact-gc audit`: compares store and catalogue both ways. */
import { Console, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { type AuditOptions, findings } from "../audit/Audit.ts"
import type { AuditEvent, AuditSummary } from "../domain/AuditReport.ts"
import { ObjectKey } from "../domain/ObjectKey.ts"
import { keepHeapSmall } from "../platform/heap.ts"
import { Storage } from "../storage/Storage.ts"
import * as AuditText from "./AuditText.ts"
import { configuration, sweepFlags, withServices } from "./Configured.ts"
import { Ended, type ExitCode } from "./ExitCode.ts"
import * as ProgressLine from "./ProgressLine.ts"
import { graceful } from "./Shutdown.ts"
import { jsonFlag } from "./SweepCommand.ts"

export const command = Command.make(
  "audit",
  {
    prefix: Flag.String("prefix").pipe(
      Flag.withDescription("Only keys that start with it (default: all)"),
      Flag.withDefault("")
    ),
    after: Flag.String("after").pipe(
      Flag.withSchema(ObjectKey),
      Flag.withDescription("Go on after this key, where an earlier audit ended"),
      Flag.optional
    ),
    deep: Flag.Boolean("deep").pipe(
      Flag.withDescription("Read every object and compare its digest, too"),
      Flag.withDefault(false)
    ),
    repair: Flag.Boolean("repair").pipe(
      Flag.withDescription(
        "Journal objects below GC_BLOB_PREFIX that nothing owns, once all has been looked at; nothing else is changed"
      ),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...sweepFlags
  },
  Effect.fnUntraced(function* ({ prefix, after, deep, repair, json, ...given }) {
    const config = yield* configuration(given)
    yield* Effect.sync(keepHeapSmall)
    const options = { prefix, after: Option.getOrNull(after), deep, repair, settings: config.sweep }
    const summary = yield* withServices(
      config,
      graceful(config.shutdownDeadline, (stop) =>
        run({ ...options, stop }, json).pipe(Effect.provide(ProgressLine.auditLayer))
      )
    )
    const code = summary === null ? 0 : codeOf(summary)
    if (code !== 0) return yield* new Ended({ code })
  })
).pipe(
  Command.withDescription(
    "Compare the store with the catalogue, both ways: objects that nothing owns, blobs whose object is missing or differs"
  )
)

/** Prints what is found as it is found, and answers the summary. */
const run = Effect.fnUntraced(function* (options: AuditOptions, json: boolean) {
  // A wrong bucket is an error of its own, and not one missing object a row.
  yield* (yield* Storage).probe
  let summary: AuditSummary | null = null
  yield* Stream.runForEach(findings(options), (event) => {
    if (event._tag === "AuditSummary") summary = event
    const text = json ? toJson(event, options) : toText(event, options)
    return Effect.andThen(ProgressLine.clear, Console.log(text))
  })
  return summary as AuditSummary | null
})

const toText = (event: AuditEvent, options: AuditOptions): string =>
  event._tag === "AuditSummary" ? AuditText.summary(event, goOnOf(event, options)) : AuditText.finding(event)

const toJson = (event: AuditEvent, options: AuditOptions): string =>
  JSON.stringify(event._tag === "AuditSummary" ? { ...event, goOn: goOnOf(event, options) } : event)

/** The command that does the rest; null when there is none. */
export const goOnOf = (summary: AuditSummary, { deep, repair }: AuditOptions): string | null => {
  if (summary.complete) return null
  // What a repair weighs is the whole; one that was cut short begins again.
  const after = repair ? summary.after : (summary.lastKey ?? summary.after)
  return [
    "artifact-gc audit",
    ...(summary.prefix === "" ? [] : [`--prefix=${AuditText.quoted(summary.prefix)}`]),
    ...(after === null ? [] : [`--after=${AuditText.quoted(after)}`]),
    ...(deep ? ["--deep"] : []),
    ...(repair ? ["--repair"] : [])
  ].join(" ")
}

/** Worse findings first; what was repaired is none any more. */
export const codeOf = ({ findings, repaired }: AuditSummary): ExitCode => {
  const { missing, sizeMismatches, digestMismatches, ownerless } = findings
  if (missing.objects + sizeMismatches + digestMismatches > 0) return 8
  return ownerless.objects > (repaired?.objects ?? 0) ? 7 : 0
}
