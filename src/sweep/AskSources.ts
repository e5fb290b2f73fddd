/**
 * Asks the reference sources of one sweep. Each has its own time limit, and all answer at once. No answer keeps every blob
 * of the page: an error, a defect and a time-out count alike.
 *
 * A source that fails three times in a row is asked no more by this sweep, because each further page would wait for it.
 */
import { Cause, Clock, Context, Duration, Effect, Exit, Fiber, Option, References, Tracer } from "effect"
import type { Digest } from "../domain/Digest.ts"
import type { GuardFinding } from "../domain/SweepReport.ts"
import type { ReferenceSource } from "./ReferenceSource.ts"

/** What the sources say of a page. */
export interface Answer {
  /** Blobs to which something refers. */
  readonly held: ReadonlySet<Digest>
  /** Whether each source has answered. If not, no blob of the page may be deleted. */
  readonly isComplete: boolean
}

/** The reference sources of one sweep. */
export interface Sources {
  /** Their names. */
  readonly names: ReadonlyArray<string>
  /** Asks all of them about `digests`. Never fails. */
  readonly ask: (digests: ReadonlyArray<Digest>) => Effect.Effect<Answer>
  /** Returns a finding for each source that failed. */
  readonly findings: () => ReadonlyArray<GuardFinding>
}

/** More failures in a row mean that the source is down, not slow. */
const consecutiveFailuresMax = 3

/** What stays the caller's of a sweep. Everything else that `ask` uses is from where `Sweep.layer` was built. */
const callers = Context.pick(
  ...[Clock.Clock, Tracer.Tracer, Tracer.ParentSpan],
  ...[References.CurrentLoggers, References.MinimumLogLevel, References.CurrentLogAnnotations]
)

/**
 * Gives `source` its services. Of the caller's context it sees clock, tracer and loggers alone: a transaction that the
 * caller has open would show it the past.
 */
export const bind =
  <R>(context: Context.Context<R>) =>
  (source: ReferenceSource<R>): ReferenceSource => ({
    ...source,
    ask: (digests) =>
      Effect.suspend(() => source.ask(digests)).pipe(
        Effect.updateContext((caller: Context.Context<never>) => Context.merge(context, callers(caller)))
      )
  })

/** What one source did in this sweep. */
interface Record {
  failuresInARow: number
  failures: number
  kept: number
  why: string
}

/** Returns the sources of a sweep, none of which has failed yet. */
export const make = (sources: ReadonlyArray<ReferenceSource>): Sources => {
  const asked = sources.map((source) => ({
    source,
    record: { failuresInARow: 0, failures: 0, kept: 0, why: "" } satisfies Record as Record
  }))
  return {
    names: sources.map(({ name }) => name),
    ask: Effect.fnUntraced(function* (digests) {
      if (digests.length === 0 || asked.length === 0) return { held: new Set<Digest>(), isComplete: true }
      const answers = yield* Effect.forEach(asked, ({ record, source }) => askOne(source, record, digests), {
        concurrency: "unbounded"
      })
      const held = new Set(answers.flatMap((answer) => (answer === null ? [] : [...answer])))
      return { held, isComplete: answers.every((answer) => answer !== null) }
    }),
    findings: () =>
      asked.flatMap(({ record, source }) => (record.failures === 0 ? [] : [findingOf(source.name, record)]))
  }
}

/** Returns what the source holds of `digests`; null if it did not answer. */
const askOne = Effect.fnUntraced(function* (
  source: ReferenceSource,
  record: Record,
  digests: ReadonlyArray<Digest>
) {
  if (record.failuresInARow < consecutiveFailuresMax) {
    const exit = yield* within(source.timeout, answerOf(source, digests))
    if (exit !== null && Exit.isSuccess(exit)) {
      record.failuresInARow = 0
      return exit.value
    }
    record.failuresInARow += 1
    record.failures += 1
    record.why =
      exit === null
        ? `no answer within ${Duration.format(source.timeout)}`
        : wordsOf(Cause.squash(exit.cause))
  }
  record.kept += digests.length
  return null
})

/** What the host's error says of itself. */
const wordsOf = (error: unknown): string => (error instanceof Error ? String(error) : JSON.stringify(error))

/** An answer may be lazy, so it is read within the limit, and an error of it is the source's. */
const answerOf = (source: ReferenceSource, digests: ReadonlyArray<Digest>) =>
  Effect.map(source.ask(digests), (answer) => {
    const named = new Set(answer)
    return new Set(digests.filter((digest) => named.has(digest)))
  }).pipe(
    Effect.withSpan("ReferenceSource.ask", { attributes: { source: source.name, digests: digests.length } })
  )

/**
 * Returns the exit of `effect`, or null after `limit`. A fiber of its own, because an effect that cannot be interrupted
 * would outlast any other limit.
 */
const within = <A, E>(limit: Duration.Duration, effect: Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.forkDetach(effect),
    (fiber) => Effect.map(Effect.timeoutOption(Fiber.await(fiber), limit), Option.getOrNull),
    (fiber) => Effect.sync(() => fiber.interruptUnsafe())
  )

const findingOf = (name: string, { failures, failuresInARow, kept, why }: Record): GuardFinding => {
  const times = failures === 1 ? "once" : `${failures} times`
  const given =
    failuresInARow < consecutiveFailuresMax
      ? ""
      : " This sweep asked it no more, and the next one tries again."
  return {
    guard: "references",
    decision: "allowed",
    message: `The reference source ${JSON.stringify(name)} failed ${times}, at last with: ${why}.${given} ${kept} blobs that it was asked about are kept, and none of them was deleted. Repair the source: until it answers, no blob without a reference is deleted.`
  }
}
