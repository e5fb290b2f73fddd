/**
 * Unannounced writers, in memory: their statements, and what the triggers against them do in PostgreSQL
 * (src/database/postgres/triggers/unannounced). The triggers act while `installation.unannouncedWritersGuarded`
 * is true.
 *
 * Each statement is a transaction here, so the advisory locks of the triggers have no counterpart.
 */
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { BlobRow, HostRow, State, Tombstone } from "./State.ts"

/** Returns whether the triggers are installed. */
export const isGuarded = (state: State): boolean => state.installation.unannouncedWritersGuarded

/** Returns whether the blob's row has a key that is in doubt. */
export const isSuspect = (state: State, digest: Digest): boolean => {
  const row = state.blobs.get(digest)
  return row !== undefined && isSuspected(state, digest, row.key)
}

const isSuspected = (state: State, digest: Digest, key: ObjectKey): boolean =>
  state.suspects.get(digest)?.has(key) === true

/** Leaves a tombstone for a digest whose row is deleted. */
export const entomb = (state: State, digest: Digest): void => {
  state.tombstones.set(digest, renewed(state.tombstones.get(digest)))
}

/** Leaves a tombstone for a key that is journaled. */
export const bury = (state: State, key: ObjectKey): void => {
  state.buriedKeys.set(key, renewed(state.buriedKeys.get(key)))
}

/** The end of a tombstone begins anew, and what lasts goes on. */
const renewed = (before: Tombstone | undefined): Tombstone => ({
  lasting: before?.lasting ?? false,
  settledAt: null,
  holders: []
})

/** Makes the tombstone of a key last, because a DELETE of it may take effect later. */
export const last = (state: State, key: ObjectKey): void => {
  const buried = state.buriedKeys.get(key)
  if (buried !== undefined) state.buriedKeys.set(key, { ...buried, lasting: true })
}

/** Strikes a key off the journal. Its tombstone lasts if `isIndefinite` says so of its leases. */
export const strike = (state: State, key: ObjectKey, isIndefinite: (leases: number) => boolean): void => {
  if (state.journal.delete(key) && isIndefinite(state.leases.get(key) ?? 0)) last(state, key)
  state.leases.delete(key)
}

/** Counts a lease of a journaled key. */
export const countLease = (state: State, key: ObjectKey): void => {
  state.leases.set(key, (state.leases.get(key) ?? 0) + 1)
}

/** Returns whether no DELETE of the key can be on its way. A suspicion without a tombstone is of unknown cause. */
export const isSettled = (state: State, digest: Digest, key: ObjectKey): boolean => {
  const witnesses = [state.tombstones.get(digest), state.buriedKeys.get(key)].filter(
    (one) => one !== undefined
  )
  return !state.journal.has(key) && witnesses.length > 0 && !witnesses.some(({ lasting }) => lasting)
}

/** Ends tombstones whose danger is over, and begins the end of others. Returns how many. */
export const endTombstones = (
  state: State,
  now: number,
  patienceMillis: number,
  limit: number
): { readonly ended: number; readonly begun: number } => {
  if (!isGuarded(state)) return { ended: 0, begun: 0 }
  const open = [...state.transactions]
  const isOver = ({ holders, lasting, settledAt }: Tombstone) =>
    !lasting &&
    settledAt !== null &&
    settledAt <= now - patienceMillis &&
    !holders.some((one) => open.includes(one))
  const end = <K>(all: Map<K, Tombstone>, mayEnd: (key: K) => boolean) => {
    const over = [...all].filter(([, one]) => isOver(one)).slice(0, limit)
    for (const [key] of over) all.delete(key)
    const begin = [...all].filter(([key, one]) => !one.lasting && one.settledAt === null && mayEnd(key))
    for (const [key, one] of begin.slice(0, limit)) all.set(key, { ...one, settledAt: now, holders: open })
    return { ended: over.length, begun: Math.min(begin.length, limit) }
  }
  const digests = end(state.tombstones, () => true)
  const keys = end(state.buriedKeys, (key) => !state.journal.has(key))
  return { ended: digests.ended + keys.ended, begun: digests.begun + keys.begun }
}

/** Inserts a blob's row if there is none, as `INSERT … ON CONFLICT DO NOTHING` does. Returns whether it did. */
export const insertUnannounced = (state: State, digest: Digest, row: BlobRow): boolean => {
  const { key } = row
  if (isGuarded(state) && !state.intents.has(key)) {
    state.orphans.delete(digest)
    if (state.tombstones.has(digest) || state.buriedKeys.has(key) || isSuspected(state, digest, key)) {
      state.suspects.set(digest, new Set([...(state.suspects.get(digest) ?? []), key]))
      state.lastSuspicion += 1
      state.suspicions.set(suspicionOf(digest, key), state.lastSuspicion)
    }
  }
  if (state.blobs.has(digest)) return false
  state.blobs.set(digest, row)
  return true
}

/**
 * - `written`: the reference exists
 * - `missing`: there is no such blob
 * - `suspect`: the blob's object is not verified yet
 */
export type ReferOutcome = "written" | "missing" | "suspect"

/** Writes a row of a host's table, as an `INSERT` that replaces the row of the same id does. */
export const referUnannounced = (state: State, id: string, row: HostRow): ReferOutcome => {
  const { digest } = row
  if (digest === null || !state.blobs.has(digest)) return "missing"
  if (isGuarded(state) && isSuspect(state, digest)) return "suspect"
  state.references.set(id, row)
  state.referenced = true
  return "written"
}

/** Names a suspicion. */
export const suspicionOf = (digest: Digest, key: ObjectKey): string => `${digest} ${key}`

/** Forgets the suspicion of a key. */
export const forgetSuspicion = (state: State, digest: Digest, key: ObjectKey): void => {
  const rest = new Set([...(state.suspects.get(digest) ?? [])].filter((one) => one !== key))
  if (rest.size === 0) state.suspects.delete(digest)
  else state.suspects.set(digest, rest)
  state.suspicions.delete(suspicionOf(digest, key))
}
