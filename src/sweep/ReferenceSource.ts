/**
 * A reference source answers for references that are kept elsewhere: in Redis, in another database, or by a rule. The sweep
 * asks it about blobs that nothing in the database refers to, before it condemns them and again right before the
 * transaction that purges them. What a source holds is kept.
 *
 * An answer is no lock. A reference that is written after the answer and before the purge is lost with its blob, unless
 * a pin is taken before the reference is written (docs/library/reference-sources.md).
 */
import { Duration, type Effect } from "effect"
import type { Digest } from "../domain/Digest.ts"

/** References that are kept outside the database. Made by {@link make}. `R` are the services that it needs. */
export interface ReferenceSource<R = never> {
  /** Names it in reports. The collector remembers it by this name. */
  readonly name: string
  /** How long one answer may take. */
  readonly timeout: Duration.Duration
  /** Columns for which it answers: `table.column` or `schema.table.column`. */
  readonly covers: ReadonlyArray<string>
  /** Returns those of `digests` to which something refers. Others that it returns are ignored. */
  readonly ask: (digests: ReadonlyArray<Digest>) => Effect.Effect<Iterable<string>, unknown, R>
}

/** How a source differs from the default. */
export interface SourceOptions {
  /**
   * How long one answer may take, for at most `batchMax` digests. Default 10 seconds: a thousand look-ups take
   * milliseconds, and the rest outlasts a fail-over. After three answers in a row that failed or took too long, the sweep
   * asks no more. Too low, and garbage stays that the source would have released. Too high, and a source that hangs delays
   * each sweep by three times this.
   */
  readonly timeout?: Duration.Input
  /**
   * Columns without a foreign key for which this source answers, `table.column` or `schema.table.column`. The sweep does
   * not refuse because of them. Default none.
   */
  readonly covers?: ReadonlyArray<string>
}

/** Ten seconds: the reason is at `SourceOptions.timeout`. */
const defaultTimeout = Duration.seconds(10)

/**
 * Returns a reference source. `ask` gets digests that nothing in the database refers to, at most `batchMax` (1,000), and
 * returns those that must stay. No lock is held and no transaction of the collector is open meanwhile. An error, a defect
 * or a time-out keeps all of them.
 *
 * ```ts
 * const sessions = ReferenceSource.make("sessions", (digests) =>
 *   Effect.flatMap(Redis, (redis) => redis.keep("SMISMEMBER", "avatars", digests))
 * )
 * const Gc = Sweep.Sweep.layer({ sources: [sessions] })
 * ```
 */
export const make = <E, R>(
  name: string,
  ask: (digests: ReadonlyArray<Digest>) => Effect.Effect<Iterable<string>, E, R>,
  { covers = [], timeout = defaultTimeout }: SourceOptions = {}
): ReferenceSource<R> => ({ name, covers, ask, timeout: Duration.fromInputUnsafe(timeout) })
