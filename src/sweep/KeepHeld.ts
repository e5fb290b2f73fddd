/**
 * Keeps what reference sources hold. A blob that a source holds waits anew, as one whose reference was lost at this moment,
 * and is not asked about again before its next turn. That turn is later each time, so that blobs whose references are kept
 * elsewhere for years cost little.
 */
import { Clock, Duration, Effect } from "effect"
import { CollectorDatabase, type KeptBlob } from "../database/Database.ts"
import type { Orphan } from "../domain/Orphan.ts"
import * as FirstReference from "./FirstReference.ts"
import type { PhaseContext } from "./Phase.ts"
import type { SweepSettings } from "./Settings.ts"

/** What is known of a blob when a source is asked about it. */
export type Asked = Pick<Orphan, "digest" | "seenAt" | "keptUntil">

/** The blobs of a page, by what the sources say of them. */
export interface Judged<O> {
  /** No source holds them. */
  readonly free: ReadonlyArray<O>
  readonly held: ReadonlyArray<O>
  /** A source did not answer. */
  readonly unanswered: ReadonlyArray<O>
}

/** Asks the sources about `orphans`, a batch at a time. Writes nothing. */
export const ask = <O extends Asked>(
  context: PhaseContext,
  orphans: ReadonlyArray<O>
): Effect.Effect<Judged<O>> =>
  context.sources.names.length === 0 || orphans.length === 0
    ? Effect.succeed({ free: orphans, held: [], unanswered: [] })
    : askEach(context, orphans)

const askEach = Effect.fnUntraced(function* <O extends Asked>(
  { settings, sources }: PhaseContext,
  orphans: ReadonlyArray<O>
) {
  const free: Array<O> = []
  const held: Array<O> = []
  const unanswered: Array<O> = []
  for (let from = 0; from < orphans.length; from += settings.batchMax) {
    const batch = orphans.slice(from, from + settings.batchMax)
    const answer = yield* sources.ask(batch.map(({ digest }) => digest))
    for (const orphan of batch) {
      if (answer.held.has(orphan.digest)) held.push(orphan)
      else (answer.isComplete ? free : unanswered).push(orphan)
    }
  }
  return { free, held, unanswered } satisfies Judged<O>
})

/** Records what sources hold. They show that references are known, which ends the question of the first reference. */
export const keep = (context: PhaseContext, held: ReadonlyArray<Asked>) =>
  held.length === 0 ? Effect.void : keepAll(context, held)

const keepAll = Effect.fnUntraced(function* ({ settings }: PhaseContext, held: ReadonlyArray<Asked>) {
  const { breakers, orphans } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  yield* orphans.keep(
    now,
    held.map((orphan): KeptBlob => ({ digest: orphan.digest, until: now + waitOf(settings, orphan) }))
  )
  yield* breakers.confirm(now, [FirstReference.breaker.name])
})

/** Twice as long as the last time, from GC_GRACE or GC_BACKOFF_BASE on, and at most GC_BACKOFF_CAP. */
const waitOf = (settings: SweepSettings, { keptUntil, seenAt }: Asked): number => {
  const last = keptUntil === undefined || seenAt === null ? 0 : keptUntil - seenAt
  const first = Math.max(Duration.toMillis(settings.backoffBase), Duration.toMillis(settings.grace))
  return Math.min(Duration.toMillis(settings.backoffCap), Math.max(first, 2 * last))
}
