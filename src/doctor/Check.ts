/**
 * A check is a value: a name, what it looks for, and a question. Checks are asked one after the other, each bounded in time.
 * A check that fails becomes a finding, and the others are asked.
 */
import { Cause, Duration, Effect, Result } from "effect"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { Finding, Found } from "./Finding.ts"

/** A question, and what it is for. */
export interface Check<R = never> {
  /** Its name, in findings and documentation. */
  readonly name: string
  /** What it looks for, in a sentence. docs/doctor.md has the same words. */
  readonly about: string
  /** Where the documentation says more. */
  readonly docs: string
  /** Asks. Returns what was found, and at least one finding. */
  readonly run: Effect.Effect<ReadonlyArray<Found>, unknown, R>
}

/** Checks that need the same server. */
export interface Group<R = never> {
  /** What the checks are about: `settings`, `database`, `store`. */
  readonly name: string
  /** Asked first. If it fails, or finds a problem, the others would only repeat it, and are not asked. */
  readonly gate: Check<R> | null
  /** The others. */
  readonly checks: ReadonlyArray<Check<R>>
}

/** Longer than a check takes on a busy server, and short for a person who waits. */
export const patience = Duration.seconds(15)

/** Asks all checks of a group, and returns what they found in their order. Never fails. */
export const askGroup = <R>({
  checks,
  gate,
  name
}: Group<R>): Effect.Effect<ReadonlyArray<Finding>, never, R> =>
  Effect.gen(function* () {
    const first = gate === null ? [] : yield* ask(gate)
    if (first.some(({ severity }) => severity === "problem")) {
      return checks.length === 0 ? first : [...first, unasked(name, name, [{ gate: null, checks }])]
    }
    return [...first, ...(yield* Effect.forEach(checks, ask)).flat()]
  })

/** Asks one check. Never fails. */
export const ask = <R>(check: Check<R>): Effect.Effect<ReadonlyArray<Finding>, never, R> =>
  check.run.pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.succeed([late])
    }),
    Effect.sandbox,
    Effect.result,
    Effect.flatMap((answer) =>
      Result.isSuccess(answer)
        ? Effect.succeed(answer.success)
        : Cause.hasInterruptsOnly(answer.failure)
          ? Effect.failCause(answer.failure as Cause.Cause<never>)
          : Effect.succeed([failureOf(Cause.squash(answer.failure))])
    ),
    Effect.map((found) =>
      found.map((one): Finding => ({ fix: null, docs: check.docs, ...one, check: check.name }))
    )
  )

const late: Found = {
  severity: "warning",
  title: "The check got no answer",
  seen: `No answer within ${Duration.format(patience)}. What it looks for is not known.`,
  fix: "artifact-gc doctor    # again, when the server is less busy"
}

/** Returns a finding that these groups were not asked because `missing` cannot be used. */
export const unasked = (
  name: string,
  missing: string,
  groups: ReadonlyArray<{
    readonly gate: Pick<Check, "name"> | null
    readonly checks: ReadonlyArray<Pick<Check, "name">>
  }>
): Finding => {
  const names = groups.flatMap(({ checks, gate }) =>
    (gate === null ? checks : [gate, ...checks]).map((check) => check.name)
  )
  return {
    severity: "note",
    check: name,
    title: `${names.length} checks of the ${name} were not asked`,
    seen: `The problem of the ${missing} above comes first. Not asked: ${names.join(", ")}.`,
    fix: "artifact-gc doctor    # again, when it is solved",
    docs: "docs/doctor.md"
  }
}

/** The tags of the expected failures. */
const isDatabaseError = (error: unknown): error is DatabaseError => tagOf(error) === "DatabaseError"
const isStorageError = (error: unknown): error is StorageError => tagOf(error) === "StorageError"

const tagOf = (error: unknown): unknown =>
  typeof error === "object" && error !== null && "_tag" in error ? error._tag : undefined

const wordsOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "message" in error ? String(error.message) : String(error)

/** Returns the finding of a check that failed. Its words are the failure's own, which name the next step. */
export const failureOf = (error: unknown): Found => {
  const words = wordsOf(error)
  if (isDatabaseError(error)) {
    const denied = error.reason === "Denied" || error.reason === "Misdirected"
    return {
      severity: "problem",
      title: denied ? "The database denies access" : "The database does not answer as expected",
      seen: words,
      fix: `psql "$DATABASE_URL" -c "SELECT 1"    # from this host, to see the same`,
      docs: "docs/operations.md#privileges"
    }
  }
  if (isStorageError(error)) {
    return {
      severity: "problem",
      title:
        error.reason === "AccessDenied"
          ? "The store denies access"
          : error.reason === "NotFound"
            ? "The bucket or directory does not exist"
            : "The store does not answer as expected",
      seen: words,
      docs: "docs/operations.md#privileges"
    }
  }
  return { severity: "problem", title: "The check failed", seen: words }
}
