/**
 * The lost time: after a restore the database does not know the newest uploads, so they look like leftovers. What
 * was written in that time and has no owner is kept until a person confirms (src/sweep/preflight/AgeGuard.ts finds it).
 */
import { Clock, Effect } from "effect"
import { CollectorDatabase, isOpen, type LostTime } from "../database/Database.ts"
import { AgeRefused } from "../domain/Refusals.ts"
import type { StoredObject } from "../storage/Storage.ts"
import * as Breaker from "./Breaker.ts"
import type { PhaseContext } from "./Phase.ts"
import * as SweepMetrics from "./SweepMetrics.ts"

/** Opens at the first object of a lost time that nothing owns. */
export const breaker: Breaker.Breaker = {
  name: "age",
  describe: ({ blobs }) =>
    `at least ${blobs} objects that nothing owns were written in a time that the database may have forgotten`,
  look: "After a restore, put the lost rows back first (docs/operations.md#restoring-one). To see the objects: artifact-gc audit"
}

/** Fails with `AgeRefused` while objects of the lost time wait for a person. */
export const requireConfirmed = ({ lost }: Pick<PhaseContext, "lost">) =>
  lost === null ? Effect.void : requireConfirmedOf(lost)

const requireConfirmedOf = Effect.fnUntraced(function* (lost: LostTime) {
  const { breakers } = yield* CollectorDatabase
  const state = yield* breakers.read(breaker.name)
  yield* SweepMetrics.breaker(breaker.name, isOpen(state))
  if (isOpen(state)) return yield* refusal(lost, state.exposure?.blobs ?? 0)
})

/** Fails with `AgeRefused` while a lost time is recorded: for a repair, which journals all of its objects. */
export const requireNoLostTime = Effect.gen(function* () {
  const { binding, breakers } = yield* CollectorDatabase
  const lost = (yield* binding.read).bound?.lost ?? null
  if (lost === null) return
  const { confirmedAt, exposure } = yield* breakers.read(breaker.name)
  if (confirmedAt === null || confirmedAt < lost.foundAt) return yield* refusal(lost, exposure?.blobs ?? 0)
})

/** Returns those of `objects`, which nothing owns, that were not written in the lost time. Opens the breaker for the others. */
export const without = Effect.fnUntraced(function* (
  context: PhaseContext,
  objects: ReadonlyArray<StoredObject>
) {
  const { counts, dryRun, lost } = context
  const kept = lost === null ? [] : objects.filter((object) => isOf(lost, object))
  if (kept.length === 0) return objects
  counts.kept("lost time", kept.length)
  if (!dryRun) yield* trip(kept.length)
  return objects.filter((object) => !kept.includes(object))
})

/**
 * Fails with `AgeRefused` if the database may have forgotten a blob of these objects, and opens the breaker: if nothing
 * owns an object that was written in the lost time, or if one is `unfinished` that is older than its end. An upload may
 * be published long after its bytes were written, so no time bounds the age of these.
 */
export const refuse = Effect.fnUntraced(function* (
  context: PhaseContext,
  unowned: ReadonlyArray<StoredObject>,
  unfinished: ReadonlyArray<StoredObject>
) {
  const { counts, dryRun, lost } = context
  if (lost === null) return
  const kept = [
    ...unowned.filter((object) => isOf(lost, object)),
    ...unfinished.filter(({ modifiedAt }) => modifiedAt <= lost.to)
  ]
  if (kept.length === 0) return
  counts.kept("lost time", kept.length)
  if (!dryRun) yield* trip(kept.length)
  return yield* refusal(lost, kept.length)
})

const isOf = ({ from, to }: LostTime, { modifiedAt }: StoredObject): boolean =>
  modifiedAt > from && modifiedAt <= to

const trip = Effect.fnUntraced(function* (objects: number) {
  const { breakers } = yield* CollectorDatabase
  const { confirmedAt } = yield* breakers.read(breaker.name)
  const now = yield* Clock.currentTimeMillis
  // A confirmation of an earlier lost time, by a host whose clock is ahead, does not confirm this one.
  const at = Math.max(now, (confirmedAt ?? 0) + 1)
  yield* breakers.trip(breaker.name, at, { ...Breaker.nothing, blobs: objects })
  yield* SweepMetrics.breaker(breaker.name, true)
})

const refusal = (lost: LostTime, objects: number): AgeRefused =>
  new AgeRefused({
    why: lost.why,
    from: new Date(lost.from).toISOString(),
    to: new Date(lost.to).toISOString(),
    objects
  })
