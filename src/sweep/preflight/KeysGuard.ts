/**
 * The keys guard: looks up in the store whether a sample of rows has objects. With a wrong key column or a wrong bucket,
 * rows would be deleted, their bytes reported as freed, and every object would still exist.
 */
import { Clock, Duration, Effect, Option, Result } from "effect"
import { CollectorDatabase, type SampledBlob } from "../../database/Database.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { KeysRefused } from "../../domain/Refusals.ts"
import { Storage } from "../../storage/Storage.ts"
import type { SweepSettings } from "../Settings.ts"
import type { GuardContext } from "./Guard.ts"

/** Rows that the first sweep of a process looks up. */
const firstSample = 20

/** Rows that later sweeps look up, where they have anything to delete. */
const laterSample = 3

/** Rows that decide. A tenth of twenty is two, and of a store with a few lost objects two are found often. */
const decidingSample = 100

/** Fewer missing objects than this decide nothing, unless all are missing and there are two at least. */
const missingMin = 3

/** As many HEAD requests at once. */
const concurrency = 20

/**
 * Fails with `KeysRefused` if too many rows have no object. Returns a finding for those that are due for deletion and
 * have none. A store that does not answer fails the guard, and counts nothing as missing.
 */
export const keysGuard = Effect.fnUntraced(function* ({ memory, settings }: GuardContext) {
  const { binding } = yield* CollectorDatabase
  const isFirst = !memory.sampled
  const size = isFirst ? firstSample : laterSample
  const condemned = yield* binding.due(size)
  // An idle sweep has nothing to be careful about.
  if (!isFirst && condemned.length === 0) return []
  const [referenced, due] = yield* Effect.all([look(settings, size), absentOf(condemned)], { concurrency: 2 })
  const least = memory.binding?.bound?.foundShareMin ?? defaultShareMin
  if (referenced.missing.length > 0) {
    const decided = yield* look(settings, decidingSample)
    if (isTooFew(decided, least)) return yield* refuse(decided)
  }
  memory.sampled = true
  return due.missing.length === 0
    ? []
    : [
        `${due.missing.length} of ${due.sampled} rows that are about to be deleted have no object, e.g. ${few(due.missing)}. Deleting them frees no bytes, although a store that does not say so counts their recorded sizes as deleted.`
      ]
})

/** What a sample showed. */
export interface Looked {
  readonly sampled: number
  readonly missing: ReadonlyArray<ObjectKey>
  /** False: nothing refers to any of the rows. */
  readonly referenced: boolean
}

/** Draws rows at random and looks up their objects. Rows younger than the grace period may get theirs later. */
export const look = Effect.fnUntraced(function* (settings: Pick<SweepSettings, "grace">, size: number) {
  const { audit, binding } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  const rows = yield* binding.sample(now - Duration.toMillis(settings.grace), size)
  const looked = yield* absentOf(rows)
  const { missing, sampled } = looked
  if (missing.length === 0) return looked
  // Another collector may have purged them since they were drawn.
  const owned = new Set(
    (yield* audit.lookup(missing)).filter(({ owner }) => owner === "blob").map(({ key }) => key)
  )
  const still = missing.filter((key) => owned.has(key))
  return { ...looked, sampled: sampled - (missing.length - still.length), missing: still }
})

/** The part of the sampled rows that must have an object, unless a person has accepted less. */
export const defaultShareMin = 0.9

/** Rows that {@link look} draws for a verdict. */
export const verdictSize = decidingSample

/**
 * Returns whether so many objects are missing that this is not this catalogue's store. Where nothing refers to the rows,
 * only if all are missing: garbage that an earlier collector has half deleted must not keep the rest.
 */
export const isTooFew = ({ missing, referenced, sampled }: Looked, least: number): boolean =>
  (missing.length === sampled && sampled > 1 && least > 0) ||
  (referenced && missing.length >= missingMin && sampled - missing.length < least * sampled)

const absentOf = Effect.fnUntraced(function* (rows: ReadonlyArray<SampledBlob>) {
  const { head } = yield* Storage
  const answers = yield* Effect.forEach(rows, ({ key }) => Effect.result(head(key)), { concurrency })
  const failures = answers.filter(Result.isFailure).map(({ failure }) => failure)
  const final = failures.find(({ isRetryable }) => !isRetryable)
  const decisive = final ?? (failures.length === rows.length ? failures[0] : undefined)
  if (decisive !== undefined) return yield* decisive
  const missing = rows.flatMap(({ key }, n) => {
    const answer = answers[n]
    return answer !== undefined && Result.isSuccess(answer) && Option.isNone(answer.success) ? [key] : []
  })
  const referenced = rows.some((row) => row.referenced)
  return { sampled: rows.length - failures.length, missing, referenced } satisfies Looked as Looked
})

/** Fails with `KeysRefused` for what a sample showed. */
export const refuse = Effect.fnUntraced(function* ({ missing, sampled }: Looked) {
  const { description } = yield* Storage
  const { catalogue } = yield* (yield* CollectorDatabase).binding.read
  return yield* new KeysRefused({
    store: description,
    catalogue: Object.entries(catalogue)
      .map(([name, value]) => `${name} ${value}`)
      .join(", "),
    sampled,
    missing: missing.length,
    keys: missing.slice(0, 3)
  })
})

const few = (keys: ReadonlyArray<ObjectKey>): string => keys.slice(0, 3).join(", ")
