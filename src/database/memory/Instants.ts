/** Instants that lie too far ahead, in memory. Upload sessions are the registry's, and are not among them. */
import { Effect } from "effect"
import { type InstantLimits, type Instants, journalMillis } from "../Database.ts"
import type { State } from "./State.ts"

/** Returns the verbs of instants over `state`. */
export const instants = (state: State): Instants => ({
  ahead: (limits) =>
    Effect.sync(() =>
      Object.entries({ ...found(state, limits), intents: [], orphans: aheadSightings(state, limits) })
        .filter(([, rows]) => rows.length > 0)
        .map(([table]) => table)
        .sort()
    ),
  correct: (limits) =>
    Effect.sync(() => {
      const moved: Record<string, number> = {}
      for (const [table, changes] of Object.entries(found(state, limits))) {
        for (const change of changes) change()
        if (changes.length > 0) moved[table] = changes.length
      }
      return moved
    })
})

const aheadSightings = (state: State, { now, toleranceMillis }: InstantLimits) =>
  [...state.orphans.values()].filter(({ condemnedAt }) => (condemnedAt ?? 0) > now + toleranceMillis)

/** Returns the corrections, by table. */
const found = (state: State, limits: InstantLimits): Readonly<Record<string, ReadonlyArray<() => void>>> => {
  const { deleteMillis, leaseMillis, leftoverMillis, now, toleranceMillis, uploadMillis } = limits
  const present = now + toleranceMillis
  const least = <At extends number | null>(at: At) => (at !== null && at > present ? now : at)
  const { listing, scan } = state
  const leasedUntil = now + leaseMillis + toleranceMillis
  return {
    breakers: [...state.breakers]
      .filter(([, row]) => Math.max(row.trippedAt ?? 0, row.confirmedAt ?? 0) > present)
      .map(([name, row]) => () => {
        const [trippedAt, confirmedAt] = [least(row.trippedAt), least(row.confirmedAt)]
        state.breakers.set(name, { ...row, trippedAt, confirmedAt })
      }),
    collectors: [...state.peers]
      .filter(([, { seenAt }]) => seenAt > present)
      .map(([id, peer]) => () => {
        state.peers.set(id, { ...peer, seenAt: now, expiresAt: now + peer.expiresAt - peer.seenAt })
      }),
    intents: [...state.intents]
      .filter(([, { expiresAt }]) => expiresAt > now + uploadMillis + toleranceMillis)
      .map(([key, intent]) => () => {
        state.intents.set(key, { ...intent, expiresAt: now + uploadMillis })
      }),
    journal: [...state.journal]
      .filter(([, { deadAt, notBefore }]) => deadAt === null && notBefore > now + journalMillis(limits))
      .map(([key, row]) => () => {
        const notBefore = now + (row.reason === "leftover" ? leftoverMillis : deleteMillis)
        state.journal.set(key, { ...row, notBefore })
      }),
    listings:
      listing !== null && Math.max(listing.startedAt, listing.endedAt ?? 0) > present
        ? [
            () => {
              const [startedAt, endedAt] = [least(listing.startedAt), least(listing.endedAt)]
              state.listing = { ...(state.listing ?? listing), startedAt, endedAt }
            }
          ]
        : [],
    listing_ranges: (listing?.ranges ?? [])
      .filter(({ claimedUntil }) => (claimedUntil ?? 0) > leasedUntil)
      .map((range) => () => {
        if (state.listing === null) return
        const ranges = state.listing.ranges.map((one) =>
          one === range ? { ...one, claimedUntil: null } : one
        )
        state.listing = { ...state.listing, ranges }
      }),
    scans:
      (scan.startedAt ?? 0) > present
        ? [
            () => {
              scan.startedAt = now
            }
          ]
        : []
  }
}
