/**
 * Notes which tags and manifests clients pull, and writes the notes in batches, so that no pull costs a write of its own: a
 * tag is written at most once an hour. Rules that keep what was pulled lately allow for that (Decide.ts).
 *
 * Nothing runs while no client pulls. The first pull starts a timer, and what was pulled until it fires is one batch.
 */
import { Clock, Effect, Exit } from "effect"
import type { ManifestName, Pull, RegistryDatabase } from "../database/RegistryDatabase.ts"

/** How long notes are collected before they are written. */
const collectFor = "1 minute"

/** A tag that was written is not written again for this long. */
const everyMillis = 60 * 60 * 1000

/** Pulls that one transaction writes. It locks their tags, and pushes to these wait for it. */
const batchMax = 200

/** Most notes that wait while the database takes none: about 30 MB. */
const waitingMax = 100_000

/** Most tags that are remembered as written. The database passes over what was written lately, too. */
const writtenMax = 20_000

/** The longest time that the end of the process waits for the last batch. */
const lastBatchWithin = "3 seconds"

/** Takes notes of pulls. */
export interface Pulls {
  /** Notes that a client pulled a tag or a manifest. Asks nothing. */
  readonly note: (repository: string, name: ManifestName) => Effect.Effect<void>
}

/** Makes the notebook. What it holds when the scope closes is written then. */
export const make = Effect.fnUntraced(function* ({
  retention
}: Pick<RegistryDatabase["Service"], "retention">) {
  const scope = yield* Effect.scope
  const waiting = new Map<string, Pull>()
  const written = new Map<string, number>()
  const state = { isTimed: false, isComplete: true, hasWarned: false }

  const writeAll = Effect.gen(function* () {
    while (waiting.size > 0) {
      const batch = [...waiting].slice(0, batchMax)
      const now = yield* Clock.currentTimeMillis
      yield* retention.record(
        now,
        batch.map(([, pull]) => pull),
        { everyMillis, isComplete: state.isComplete }
      )
      state.isComplete = true
      if (written.size > writtenMax) written.clear()
      for (const [key, pull] of batch) {
        if (waiting.get(key) === pull) waiting.delete(key)
        written.set(key, pull.at)
      }
    }
    state.hasWarned = false
  })

  const flush = Effect.gen(function* () {
    const exit = yield* Effect.exit(writeAll)
    if (Exit.isSuccess(exit) || state.hasWarned) return
    state.hasWarned = true
    yield* Effect.logWarning(
      "Which tags were pulled could not be recorded. Clients get what they ask for, and the record is tried again with the next pulls. Check the database if this repeats.",
      exit.cause
    )
  })

  const timed: Effect.Effect<void> = Effect.gen(function* () {
    yield* Effect.sleep(collectFor)
    yield* flush
    state.isTimed = false
    if (waiting.size > 0) yield* start
  })

  const start: Effect.Effect<void> = Effect.suspend(() => {
    if (state.isTimed) return Effect.void
    state.isTimed = true
    return Effect.asVoid(Effect.forkIn(timed, scope))
  })

  yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeoutOption(flush, lastBatchWithin)))
  return {
    note: Effect.fnUntraced(function* (repository, name) {
      const now = yield* Clock.currentTimeMillis
      const key = JSON.stringify([repository, name._tag === "Tag" ? name.tag : name.digest])
      if ((written.get(key) ?? Number.NEGATIVE_INFINITY) > now - everyMillis) return
      if (waiting.size < waitingMax || waiting.has(key)) waiting.set(key, { repository, name, at: now })
      else state.isComplete = false
      yield* start
    })
  } satisfies Pulls as Pulls
})
