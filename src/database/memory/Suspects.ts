/**
 * Suspects, in memory. There are no triggers and no tombstones: tests insert blobs as unannounced writers
 * would, and the doubts. So none is settled, and none is trusted where it is.
 */
import { Effect } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Suspect, Suspects } from "../Database.ts"
import { heldDigests, journalRow, type State } from "./State.ts"

/** Returns whether the blob's row has a key that is in doubt. */
export const isSuspect = (state: State, digest: Digest): boolean => {
  const row = state.blobs.get(digest)
  return row !== undefined && state.suspects.get(digest)?.has(row.key) === true
}

/** Returns the verbs of suspects over `state`. */
export const suspects = (state: State): Suspects => ({
  page: (after, limit) =>
    Effect.sync(() =>
      [...state.blobs]
        .filter(([digest]) => isSuspect(state, digest) && (after === null || digest > after))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit)
        .map(
          ([digest, { key, sizeBytes }]): Suspect => ({ digest, key, sizeBytes, settled: false, latest: 0 })
        )
    ),
  rekey: (now, suspect, to, deleteNotBefore) =>
    Effect.sync(() => {
      const { digest, key, sizeBytes } = suspect
      if (!state.intents.delete(to)) return "expired"
      const row = stillSuspect(state, suspect)
      const [dead, notBefore] = row === undefined ? [to, now] : [key, deleteNotBefore]
      state.journal.set(dead, journalRow(digest, sizeBytes, "duplicate", notBefore))
      if (row === undefined) return "superseded"
      state.blobs.set(digest, { ...row, key: to })
      state.orphans.delete(digest)
      return "adopted"
    }),
  trust: () => Effect.succeed("superseded"),
  drop: (_now, suspect) =>
    Effect.sync(() => {
      if (stillSuspect(state, suspect) === undefined) return "superseded"
      state.orphans.delete(suspect.digest)
      if (heldDigests(state).has(suspect.digest)) return "referenced"
      state.blobs.delete(suspect.digest)
      return "dropped"
    }),
  forget: (limit) =>
    Effect.sync(() => {
      const idle = [...state.suspects].flatMap(([digest, keys]) =>
        [...keys].filter((key) => state.blobs.get(digest)?.key !== key).map((key) => ({ digest, key }))
      )
      const digests = new Set(idle.slice(0, limit).map(({ digest }) => digest))
      const gone = idle.filter(({ digest }) => digests.has(digest))
      for (const { digest, key } of gone) without(state, digest, key)
      return gone.length
    }),
  endTombstones: () => Effect.succeed({ ended: 0, begun: 0 }),
  arrival: () => Effect.never
})

const stillSuspect = (state: State, { digest, key }: Suspect) => {
  const row = state.blobs.get(digest)
  return row?.key === key && isSuspect(state, digest) ? row : undefined
}

const without = (state: State, digest: Digest, key: ObjectKey): void => {
  const rest = new Set([...(state.suspects.get(digest) ?? [])].filter((one) => one !== key))
  if (rest.size === 0) state.suspects.delete(digest)
  else state.suspects.set(digest, rest)
}
