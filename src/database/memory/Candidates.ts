/** Candidates, in memory: the queue, and what triggers do in PostgreSQL. */
import { Effect, Option } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { Orphan } from "../../domain/Orphan.ts"
import type { Candidates, Sighted } from "../Database.ts"
import { byKey, causeOf, heldDigests, keptOf, objectOf, type State, usedAtOf } from "./State.ts"

/** Returns the verbs of candidates over `state`. */
export const candidates = (state: State): Candidates => ({
  watch: Effect.sync(() => ({ isOn: state.watched, unwatched: [] })),
  review: (now, limit) =>
    Effect.sync(() => {
      const page = state.candidates.splice(0, limit)
      const held = heldDigests(state)
      const orphans = [...new Set(page)].filter((digest) => state.blobs.has(digest) && !held.has(digest))
      for (const digest of orphans) {
        const cause = causeOf(state.orphans.get(digest))
        state.orphans.set(digest, { seenAt: now, condemnedAt: null, sweep: null, ...cause })
      }
      return { candidates: page.length, orphans: orphans.length }
    }),
  sighted: (after, limit) => Effect.sync(() => sighted(state, after, limit)),
  settle: ({ now, condemned, stale, sweep }) =>
    Effect.sync(() => {
      for (const digest of condemned) {
        const sighting = state.orphans.get(digest)
        if (sighting?.condemnedAt === null)
          state.orphans.set(digest, { ...sighting, condemnedAt: now, sweep })
      }
      const held = heldDigests(state)
      const ended = stale.filter((digest) => held.has(digest) || !state.blobs.has(digest))
      return ended.filter((digest) => state.orphans.delete(digest)).length
    }),
  passDue: (now, everyMillis) =>
    Effect.sync(() => {
      const { position, startedAt, wanted, done } = state.scan
      const isOld = startedAt === null || startedAt <= now - everyMillis
      return done < wanted || position !== null || isOld
        ? Option.some({ wanted, startedAt: now })
        : Option.none()
    }),
  passDone: ({ wanted, startedAt }) =>
    Effect.sync(() => {
      state.scan.done = Math.max(state.scan.done, wanted)
      state.scan.startedAt = startedAt
    })
})

const sighted = (state: State, after: Digest | null, limit: number): Sighted => {
  const held = heldDigests(state)
  const page = byKey(state.orphans)
    .filter(([digest]) => after === null || digest > after)
    .slice(0, limit)
  const orphans: Array<Orphan> = []
  const stale: Array<Digest> = []
  for (const [digest, sighting] of page) {
    const { condemnedAt, seenAt } = sighting
    const row = state.blobs.get(digest)
    if (row === undefined || held.has(digest)) stale.push(digest)
    else {
      const times = { usedAt: usedAtOf(row), seenAt, condemnedAt }
      const known = { ...causeOf(sighting), ...keptOf(sighting) }
      orphans.push({ digest, sizeBytes: row.sizeBytes, ...times, ...known, ...objectOf(row) })
    }
  }
  const next = page.length < limit ? null : (page.at(-1)?.[0] ?? null)
  return { sightings: page.length, orphans, stale, next }
}

/** Returns every row that keeps a blob, by a unique name. */
const keepingRows = (state: State): Map<string, Digest> =>
  new Map([
    ...[...state.references].flatMap(([id, { digest }]) =>
      digest === null ? [] : [[`reference ${id}`, digest] as const]
    ),
    ...[...state.pins].map(([id, { digest }]) => [`pin ${id}`, digest] as const),
    ...state.referringTables.flatMap(({ table, rows }) =>
      rows().map(({ id, digest }) => [`${table} ${id}`, digest] as const)
    )
  ])

/**
 * Returns the verbs of `group`, which queue candidates while references are watched. A test's own changes
 * of the tables queue none, like changes in PostgreSQL with triggers switched off. Wrap them in `transacting`,
 * which calls a verb when its effect runs.
 */
export const watching = <Group extends object>(state: State, group: Group): Group => {
  const noting = <A, E>(verb: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      const before = {
        kept: keepingRows(state),
        blobs: new Set(state.blobs.keys()),
        sightings: new Set(state.orphans.keys())
      }
      // Synchronously, like a trigger: a process cannot die between the change and the queue.
      const exit = Effect.runSyncExit(verb)
      const after = keepingRows(state)
      for (const [id, digest] of before.kept) if (after.get(id) !== digest) state.candidates.push(digest)
      for (const digest of state.blobs.keys()) if (!before.blobs.has(digest)) state.candidates.push(digest)
      for (const digest of before.sightings) if (!state.orphans.has(digest)) state.candidates.push(digest)
      return exit
    })
  const entries = Object.entries(group).map(([name, verb]) => [
    name,
    typeof verb === "function"
      ? (...args: ReadonlyArray<unknown>) => (state.watched ? noting(verb(...args)) : verb(...args))
      : verb
  ])
  return Object.fromEntries(entries) as Group
}
