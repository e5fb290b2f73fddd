/**
 * The breaker of a catalogue without references. Where no reference table ever held a row, each blob is an
 * orphan, whether its references are kept in other columns, in another database, or do not exist. Nothing in
 * the rows tells these apart, so a person says it once.
 *
 * It concerns orphans alone: an object that no row owns is garbage whatever refers to blobs. It ends by itself
 * when a sweep finds a reference table that holds or held a row, which a registry's first image brings. An
 * emptied catalogue is no case of it, because its tables held rows. Shares and numbers do not matter, and
 * GC_BREAKER_PERCENT does not switch it off: the question is not how much, but whether references are known.
 */
import { Clock, Effect } from "effect"
import { CollectorDatabase, type Exposure, isOpen } from "../database/Database.ts"
import * as Breaker from "./Breaker.ts"

/** Opens when blobs are condemned in a catalogue whose reference tables never held a row. */
export const breaker: Breaker.Breaker = {
  name: "unreferenced",
  describe: ({ blobs }) =>
    `${blobs} blobs are condemned, no reference source has held one, and no table with a foreign key to blobs has ever held a row`,
  look: "If references to blobs are kept elsewhere (other columns, another database), do not confirm: add foreign keys. If clients have not finished their first upload yet, wait: it ends with the first reference. To see the blobs: artifact-gc condemned"
}

/** Keeps a purge from beginning, with `BreakerOpen`, until a person confirmed or a reference was seen. */
export const judge = Effect.gen(function* () {
  const { backlog, breakers, references } = yield* CollectorDatabase
  if (yield* references.everHeld) return
  const state = yield* breakers.read(breaker.name)
  if (isOpen(state)) return yield* Breaker.opened(breaker, state)
  // One answer is enough: it is about the catalogue, not about these blobs.
  if (state.confirmedAt !== null) return
  const at = yield* Clock.currentTimeMillis
  // All of them: blobs that never had a reference count in no other breaker.
  const { condemned, condemnedBytes } = yield* backlog(at)
  if (condemned === 0) return
  const exposure = { ...Breaker.nothing, blobs: condemned, bytes: condemnedBytes }
  return yield* Breaker.trip(breaker, { at, confirmedAt: null, exposure })
})

/** Judges for a dry run, which opens nothing. `expected` is what a sweep would condemn. */
export const foresee = Effect.fnUntraced(function* (expected: Pick<Exposure, "blobs" | "bytes">) {
  const { breakers, references } = yield* CollectorDatabase
  if (expected.blobs === 0 || (yield* references.everHeld)) return
  const state = yield* breakers.read(breaker.name)
  if (state.confirmedAt !== null && !isOpen(state)) return
  const exposure = { ...Breaker.nothing, ...expected }
  const trippedAt = state.trippedAt ?? (yield* Clock.currentTimeMillis)
  return yield* Breaker.opened(breaker, { trippedAt, exposure }, isOpen(state) ? {} : { foreseen: true })
})
