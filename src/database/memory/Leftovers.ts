/** Objects that nothing knows, in memory. */
import { Effect, Option } from "effect"
import type { LeftoverScan, Leftovers } from "../Database.ts"
import { journalRow, type ListingRow, type State } from "./State.ts"

export const leftovers = (state: State): Leftovers => {
  /** The row, if `scan` still has its lease. */
  const leased = (scan: LeftoverScan): ListingRow | null => {
    const row = state.listing
    return row !== null && row.claimedUntil !== null && row.token === scan.token ? row : null
  }
  return {
    claim: (now, leaseUntil, everyMillis) =>
      Effect.sync(() => {
        const row = state.listing
        if (row !== null && row.claimedUntil !== null && row.claimedUntil > now) return Option.none()
        if (row !== null && row.endedAt !== null && row.startedAt > now - everyMillis) return Option.none()
        const token = (row?.token ?? 0) + 1
        const goesOn = row !== null && row.endedAt === null
        const next: ListingRow = goesOn
          ? { ...row, token, claimedUntil: leaseUntil }
          : {
              pass: (row?.pass ?? 0) + 1,
              token,
              startedAt: now,
              after: null,
              listed: 0,
              unowned: 0,
              endedAt: null,
              claimedUntil: leaseUntil
            }
        state.listing = next
        return Option.some(scanOf(next))
      }),
    journal: (_now, objects, notBefore) =>
      Effect.sync(() => {
        const known = new Set([
          ...[...state.blobs.values()].map((row) => row.key),
          ...state.intents.keys(),
          ...state.chunks.keys(),
          ...state.journal.keys()
        ])
        const unowned = objects.filter(({ key }) => !known.has(key))
        for (const { key, sizeBytes } of unowned)
          state.journal.set(key, journalRow(null, sizeBytes, "leftover", notBefore))
        return unowned.map(({ key }) => key)
      }),
    advance: (scan, to, now, leaseUntil) =>
      Effect.sync(() => {
        const row = leased(scan)
        if (row === null) return false
        const ended = to.after === null
        state.listing = {
          ...row,
          ...to,
          endedAt: ended ? now : null,
          claimedUntil: ended ? null : leaseUntil
        }
        return true
      }),
    yield: (scan) =>
      Effect.sync(() => {
        const row = leased(scan)
        if (row !== null) state.listing = { ...row, claimedUntil: null }
      }),
    withdraw: (scan) =>
      Effect.sync(() => {
        const row = leased(scan)
        if (row === null) return 0
        const untouched = [...state.journal].filter(
          ([, entry]) => entry.reason === "leftover" && entry.claimedUntil === null && entry.attempts === 0
        )
        for (const [key] of untouched) state.journal.delete(key)
        state.listing = { ...row, after: null, listed: 0, unowned: 0, claimedUntil: null }
        return untouched.length
      })
  }
}

const scanOf = ({ pass, token, startedAt, after, listed, unowned }: ListingRow): LeftoverScan => ({
  pass,
  token,
  startedAt,
  after,
  listed,
  unowned
})
