/** `artifact-gc audit`: compares store and catalogue in both directions. */
import { Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { type AuditOptions, findings } from "../audit/Audit.ts"
import type { AuditEvent, AuditSummary } from "../domain/AuditReport.ts"
import { ObjectKey } from "../domain/ObjectKey.ts"
import { keepHeapSmall } from "../platform/heap.ts"
import { Storage } from "../storage/Storage.ts"
import * as AuditText from "./AuditText.ts"
import { configuration, sweepFlags, withServices } from "./Configured.ts"
import { Ended, type ExitCode } from "./ExitCode.ts"
import * as Print from "./Print.ts"
import * as ProgressLine from "./ProgressLine.ts"
import { graceful } from "./Shutdown.ts"
import { jsonFlag } from "./SweepCommand.ts"

/** Defines the command `artifact-gc audit`. */
export const command = Command.make(
  "audit",
  {
    prefix: Flag.String("prefix").pipe(
      Flag.withMetavar("prefix"),
      Flag.withDescription("Audit only keys that start with this (default: all)"),
      Flag.withDefault("")
    ),
    after: Flag.String("after").pipe(
      Flag.withMetavar("key"),
      Flag.withSchema(ObjectKey),
      Flag.withDescription("Continue after this key, at which an earlier audit ended"),
      Flag.optional
    ),
    deep: Flag.Boolean("deep").pipe(
      Flag.withDescription("Also read every object and compare its digest"),
      Flag.withDefault(false)
    ),
    repair: Flag.Boolean("repair").pipe(
      Flag.withDescription(
        "After the audit, journal objects below GC_BLOB_PREFIX that nothing owns, for deletion; change nothing else"
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
    "Compare the store with the catalogue: find objects that nothing owns, and blobs whose object is missing or differs. Without --repair it changes nothing"
  ),
  Command.withShortDescription("Compare the store with the catalogue"),
  Command.withExamples([
    { command: "artifact-gc audit", description: "Compare everything. Nothing is changed" },
    {
      command: "artifact-gc audit --prefix=blobs/ --deep",
      description: "Also read each object and compare its digest"
    },
    { command: "artifact-gc audit --repair", description: "Delete what nothing owns" }
  ])
)

/** Prints each finding when it is found, and returns the summary. */
const run = Effect.fnUntraced(function* (options: AuditOptions, json: boolean) {
  // A wrong bucket must be reported as such, and not as one missing object per row.
  yield* (yield* Storage).probe
  let summary: AuditSummary | null = null
  yield* Stream.runForEach(findings(options), (event) => {
    if (event._tag === "AuditSummary") summary = event
    return json ? Print.json(toJson(event, options)) : Print.text(toText(event, options))
  })
  return summary as AuditSummary | null
})

const toText = (event: AuditEvent, options: AuditOptions): string =>
  event._tag === "AuditSummary" ? AuditText.summary(event, goOnOf(event, options)) : AuditText.finding(event)

const toJson = (event: AuditEvent, options: AuditOptions) =>
  event._tag === "AuditSummary" ? { ...event, goOn: goOnOf(event, options) } : event

/** Returns the command that continues an audit that ended early; null after a complete one. */
export const goOnOf = (summary: AuditSummary, { deep, repair }: AuditOptions): string | null => {
  if (summary.complete) return null
  // A repair compares its size with the whole, so it must begin again.
  const after = repair ? summary.after : (summary.lastKey ?? summary.after)
  return [
    "artifact-gc audit",
    ...(summary.prefix === "" ? [] : [`--prefix=${AuditText.quoted(summary.prefix)}`]),
    ...(after === null ? [] : [`--after=${AuditText.quoted(after)}`]),
    ...(deep ? ["--deep"] : []),
    ...(repair ? ["--repair"] : [])
  ].join(" ")
}

/** Returns the exit code of an audit: that of its worst finding. Repaired findings do not count. */
export const codeOf = ({ findings, repaired }: AuditSummary): ExitCode => {
  const { missing, sizeMismatches, digestMismatches, ownerless } = findings
  if (missing.objects + sizeMismatches + digestMismatches > 0) return 8
  return ownerless.objects > (repaired?.objects ?? 0) ? 7 : 0
}
