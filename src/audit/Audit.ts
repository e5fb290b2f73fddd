/**
 * The audit: compares the store with the catalogue, key by key, in both directions.
 *
 * It is one pass in key order in constant memory. It reads and reports; with `repair` it also journals
 * objects that nothing owns. The summary of an audit of all keys is recorded for the status. Every finding is confirmed by a second look, because writers and collectors
 * continue to work meanwhile: see SecondLook.
 */
import { type Cause, Clock, Effect, Option, Stream } from "effect"
import { CollectorDatabase } from "../database/Database.ts"
import type { AuditEvent, AuditSummary, Finding } from "../domain/AuditReport.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { AgeRefused, BindingRefused, BreakerOpen, RepairRefused } from "../domain/Refusals.ts"
import type { SchemaRefused } from "../domain/SchemaRefused.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { compareKeys } from "../storage/KeyOrder.ts"
import type { Storage } from "../storage/Storage.ts"
import * as Counts from "./Counts.ts"
import { sort } from "./FirstLook.ts"
import * as Merge from "./Merge.ts"
import { AuditProgress } from "./Progress.ts"
import * as Repair from "./Repair.ts"
import * as SecondLook from "./SecondLook.ts"
import { type AuditOptions, type Resolved, resolve } from "./Settings.ts"

export type { AuditOptions, AuditSettings } from "./Settings.ts"

/** The errors that end an audit. */
export type AuditError =
  | DatabaseError
  | StorageError
  | SchemaRefused
  | BreakerOpen
  | BindingRefused
  | AgeRefused
  | RepairRefused

/**
 * Keys of a window that are checked together when every object is read. Few, so that a stop loses little
 * work.
 */
const deepMax = 16

/**
 * Returns findings in key order, then a summary. A failure ends the stream with its error, after a summary of
 * the work before it. Only an audit that could not begin has no summary. A slow consumer slows the audit
 * down.
 *
 * Fails with `SchemaRefused` on a catalogue that the guard refuses. A repair fails with `BreakerOpen` while
 * the breaker of leftovers waits for an operator, and with `RepairRefused` if it would journal more than a
 * mistake may take.
 */
export const findings = (
  options: AuditOptions = {}
): Stream.Stream<AuditEvent, AuditError, CollectorDatabase | Storage> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const run = yield* begin(resolve(options))
      const whole: Stream.Stream<AuditEvent, AuditError, CollectorDatabase | Storage> = Stream.concat(
        pass(run),
        Stream.unwrap(Effect.as(Effect.scoped(repair(run)), Stream.empty))
      )
      const last = Stream.fromEffect(Effect.suspend(() => Effect.tap(summary(run), remember)))
      const failing = Stream.catchCause(whole, (cause: Cause.Cause<AuditError>) => {
        run.stoppedBy = "failure"
        return Stream.concat(last, Stream.failCause(cause))
      })
      return Stream.concat(failing, last)
    })
  )

/** An audit under way. */
interface Run {
  readonly options: Resolved
  readonly next: Effect.Effect<Merge.Window | null, DatabaseError | StorageError>
  readonly startedAt: number
  readonly expectedRows: number | null
  readonly counts: Counts.Counts
  /** Parts of a window that are not checked yet. */
  readonly pending: Array<Merge.Window>
  readonly repaired: Repair.Repaired
  lastKey: ObjectKey | null
  stoppedBy: "stopped" | "failure" | null
}

const begin = Effect.fnUntraced(function* (options: Resolved) {
  const { inspect, audit } = yield* CollectorDatabase
  yield* inspect
  if (options.repair) yield* Repair.requireClosed
  const index = yield* audit.missingIndex
  if (index !== null) {
    yield* Effect.logWarning(
      `The catalogue has no index of object keys in byte order, so each page of the audit sorts the whole table. To create one: ${index}`
    )
  }
  const run: Run = {
    options,
    next: yield* Merge.make(options.prefix, options.after),
    startedAt: yield* Clock.currentTimeMillis,
    expectedRows: (yield* AuditProgress).watched ? yield* expectation(options) : null,
    counts: Counts.empty(),
    pending: [],
    repaired: { objects: 0, bytes: 0, dueAtMillis: 0 },
    lastKey: null,
    stoppedBy: null
  }
  return run
})

/** Returns the expected number of rows; null for a part of the keys, whose number is unknown. */
const expectation = Effect.fnUntraced(function* ({ prefix, after, settings }: Resolved) {
  if (after !== null || !settings.blobPrefix.startsWith(prefix)) return null
  const rows = yield* (yield* CollectorDatabase).audit.estimate
  return rows === 0 ? null : rows
})

/**
 * Checks window after window. A stop drops the current window uncounted; an audit that continues after the
 * last key checks it again.
 */
const pass = (run: Run): Stream.Stream<Finding, DatabaseError | StorageError, CollectorDatabase | Storage> =>
  Stream.paginate(undefined, () =>
    Effect.gen(function* () {
      const judged = yield* Effect.raceFirst(Effect.as(run.options.stop, "stopped" as const), judgeNext(run))
      if (judged === "stopped") {
        run.stoppedBy = "stopped"
        return [[], Option.none()]
      }
      if (judged === null) return [[], Option.none()]
      Counts.add(run.counts, judged.counts)
      run.lastKey = judged.upTo
      yield* report(run)
      return [judged.findings, Option.some(undefined)]
    })
  )

const judgeNext = Effect.fnUntraced(function* (run: Run) {
  if (run.pending.length === 0) {
    const window = yield* run.next
    if (window === null) return null
    run.pending.push(...(run.options.deep ? split(window) : [window]))
  }
  const part = run.pending.shift()
  return part === undefined ? null : yield* judge(part, run.options)
})

const split = (window: Merge.Window): ReadonlyArray<Merge.Window> => {
  const parts: Array<Merge.Window> = []
  for (let from = 0; from < window.entries.length; from += deepMax) {
    const entries = window.entries.slice(from, from + deepMax)
    parts.push({ entries, upTo: entries.at(-1)?.key ?? window.upTo })
  }
  return parts
}

const judge = Effect.fnUntraced(function* (window: Merge.Window, { settings, deep }: Resolved) {
  const { counts, pairs, unowned, doubtful } = sort(window.entries, settings)
  const read = deep ? yield* SecondLook.unlike(pairs, counts) : { findings: [], gone: [] }
  const found: ReadonlyArray<Finding> = [
    ...read.findings,
    ...(yield* SecondLook.damaged([...doubtful, ...read.gone], counts)),
    ...(yield* SecondLook.ownerless(unowned, settings, counts))
  ].sort((a, b) => compareKeys(a.key, b.key))
  for (const finding of found) Counts.addFinding(counts, finding, settings.blobPrefix)
  return { counts, findings: found, upTo: window.upTo }
})

const report = Effect.fnUntraced(function* ({ counts, expectedRows }: Run) {
  const progress = yield* AuditProgress
  yield* progress.report({
    phase: "audit",
    objects: counts.listed,
    rows: counts.rows,
    findings: Counts.findings(counts),
    bytesRead: counts.verifiedBytes,
    expectedRows
  })
})

const repair = Effect.fnUntraced(function* (run: Run) {
  if (!run.options.repair || run.stoppedBy !== null) return
  let stopped = false
  yield* Effect.forkScoped(
    Effect.andThen(
      run.options.stop,
      Effect.sync(() => {
        stopped = true
      })
    )
  )
  // Yields, so that a request to stop is noticed between two windows.
  const isStopped = Effect.andThen(
    Effect.yieldNow,
    Effect.sync(() => stopped)
  )
  const whole = yield* Repair.run(run.options, run.counts, run.repaired, isStopped)
  if (!whole) run.stoppedBy = "stopped"
})

/** Records an audit of all keys for the status. Its findings are valid whether this succeeds or not. */
const remember = Effect.fnUntraced(function* (ended: AuditSummary) {
  if (!ended.complete || ended.prefix !== "" || ended.after !== null) return
  const { audit } = yield* CollectorDatabase
  const endedAt = yield* Clock.currentTimeMillis
  yield* Effect.catchTag(audit.record({ endedAt, summary: ended }), "DatabaseError", ({ message }) =>
    Effect.logWarning(
      `The status does not show the figures of this audit (${message}). The audit is valid, and the next one is recorded again.`
    )
  )
})

const summary = Effect.fnUntraced(function* (run: Run): Effect.fn.Return<AuditSummary> {
  const { options, repaired, counts } = run
  return {
    _tag: "AuditSummary",
    complete: run.stoppedBy === null,
    stoppedBy: run.stoppedBy,
    prefix: options.prefix,
    after: options.after,
    lastKey: run.lastKey,
    startedAt: new Date(run.startedAt).toISOString(),
    durationMillis: (yield* Clock.currentTimeMillis) - run.startedAt,
    ...Counts.summaryOf(counts),
    repaired:
      repaired.objects === 0
        ? null
        : {
            objects: repaired.objects,
            bytes: repaired.bytes,
            dueAt: new Date(repaired.dueAtMillis).toISOString()
          }
  }
})
