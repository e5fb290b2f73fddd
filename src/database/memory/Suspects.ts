/** Suspects, in memory. UnannouncedWriters.ts has what the triggers do. */
import { Effect } from "effect"
import type { Suspect, Suspects } from "../Database.ts"
import { heldDigests, journalRow, type State } from "./State.ts"
import {
  bury,
  endTombstones,
  entomb,
  forgetSuspicion,
  isGuarded,
  isSettled,
  isSuspect,
  suspicionOf
} from "./UnannouncedWriters.ts"

/** Returns the verbs of suspects over `state`. */
export const suspects = (state: State): Suspects => ({
  page: (after, limit) =>
    Effect.sync(() =>
      [...state.blobs]
        .filter(([digest]) => isSuspect(state, digest) && (after === null || digest > after))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit)
        .map(
          ([digest, { key, sizeBytes }]): Suspect => ({
            digest,
            key,
            sizeBytes,
            settled: isSettled(state, digest, key),
            latest: state.suspicions.get(suspicionOf(digest, key)) ?? 0
          })
        )
    ),
  rekey: (now, suspect, to, deleteNotBefore) =>
    Effect.sync(() => {
      const { digest, key, sizeBytes } = suspect
      if (!state.intents.delete(to)) return "expired"
      const row = stillSuspect(state, suspect)
      const [dead, notBefore] = row === undefined ? [to, now] : [key, deleteNotBefore]
      bury(state, dead)
      state.journal.set(dead, journalRow(digest, sizeBytes, "duplicate", notBefore))
      if (row === undefined) return "superseded"
      state.blobs.set(digest, { ...row, key: to })
      state.orphans.delete(digest)
      return "adopted"
    }),
  trust: (suspect) =>
    Effect.sync(() => {
      const { digest, key, latest } = suspect
      const isLatest = (state.suspicions.get(suspicionOf(digest, key)) ?? 0) === latest
      if (stillSuspect(state, suspect) === undefined || !isLatest || !isSettled(state, digest, key))
        return "superseded"
      state.tombstones.delete(digest)
      state.buriedKeys.delete(key)
      forgetSuspicion(state, digest, key)
      return "verified"
    }),
  drop: (_now, suspect) =>
    Effect.sync(() => {
      if (stillSuspect(state, suspect) === undefined) return "superseded"
      state.orphans.delete(suspect.digest)
      if (heldDigests(state).has(suspect.digest)) return "referenced"
      state.blobs.delete(suspect.digest)
      if (isGuarded(state)) entomb(state, suspect.digest)
      return "dropped"
    }),
  forget: (limit) =>
    Effect.sync(() => {
      const idle = [...state.suspects].flatMap(([digest, keys]) =>
        [...keys].filter((key) => state.blobs.get(digest)?.key !== key).map((key) => ({ digest, key }))
      )
      const digests = new Set(idle.slice(0, limit).map(({ digest }) => digest))
      const gone = idle.filter(({ digest }) => digests.has(digest))
      for (const { digest, key } of gone) forgetSuspicion(state, digest, key)
      return gone.length
    }),
  endTombstones: (now, patienceMillis, limit) =>
    Effect.sync(() => endTombstones(state, now, patienceMillis, limit)),
  arrival: () => Effect.never
})

const stillSuspect = (state: State, { digest, key }: Suspect) => {
  const row = state.blobs.get(digest)
  return row?.key === key && isSuspect(state, digest) ? row : undefined
}
