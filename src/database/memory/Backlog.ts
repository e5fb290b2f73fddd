/** The backlog, in memory. */
import type { Backlog } from "../Database.ts"
import { hasObject, type State } from "./State.ts"

/** Counts and dates the rows that wait for a later sweep. */
export const backlog = (state: State, now: number): Backlog => {
  const sightings = [...state.orphans]
  const condemned = sightings.flatMap(([digest, { condemnedAt }]) =>
    condemnedAt === null ? [] : [{ digest, condemnedAt }]
  )
  const waiting = sightings.filter(([digest, sighting]) => {
    const row = state.blobs.get(digest)
    return sighting.condemnedAt === null && (row === undefined || hasObject(row))
  })
  const rows = [...state.journal.values()]
  const pending = rows.filter((row) => row.deadAt === null)
  const due = pending.filter((row) => row.notBefore <= now && (row.claimedUntil ?? now) <= now)
  const earliest = (instants: ReadonlyArray<number>) =>
    instants.reduce<number | null>((min, at) => (min === null || at < min ? at : min), null)
  return {
    waiting: waiting.length,
    candidates: state.candidates.length,
    condemned: condemned.length,
    condemnedBytes: condemned.reduce((sum, { digest }) => sum + (state.blobs.get(digest)?.sizeBytes ?? 0), 0),
    journaled: pending.length,
    journaledBytes: pending.reduce((sum, row) => sum + row.sizeBytes, 0),
    journalDue: due.length,
    journalDueBytes: due.reduce((sum, row) => sum + row.sizeBytes, 0),
    deadLetters: rows.length - pending.length,
    intents: state.intents.size,
    pins: state.pins.size,
    oldestSeenAt: earliest(waiting.map(([, sighting]) => sighting.seenAt)),
    oldestCondemnedAt: earliest(condemned.map(({ condemnedAt }) => condemnedAt)),
    nextJournalAt: earliest(pending.map((row) => Math.max(row.notBefore, row.claimedUntil ?? 0))),
    oldestDeadAt: earliest(rows.flatMap(({ deadAt }) => deadAt ?? [])),
    nextIntentAt: earliest([...state.intents.values()].map(({ expiresAt }) => expiresAt)),
    nextPinAt: earliest([...state.pins.values()].map(({ expiresAt }) => expiresAt))
  }
}
