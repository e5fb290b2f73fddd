/** Leftovers, in memory. */
import { Effect, Option } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { LeftoverPlan, LeftoverScan, Leftovers } from "../Database.ts"
import { journalRow, type ListingRow, type RangeRow, type State } from "./State.ts"
import { bury, isGuarded, strike } from "./UnannouncedWriters.ts"

/** Returns the verbs of leftovers over `state`. */
export const leftovers = (state: State): Leftovers => {
  /** Returns the pass and the range if `scan` still has its lease. */
  const leased = (scan: LeftoverScan): { readonly row: ListingRow; readonly range: RangeRow } | null => {
    const row = state.listing
    const range = row?.ranges.find(({ token, claimedUntil }) => token === scan.token && claimedUntil !== null)
    return row === null || range === undefined ? null : { row, range }
  }
  const put = (row: ListingRow, range: RangeRow, change: Partial<RangeRow>): void => {
    const ranges = row.ranges.map((other) => (other === range ? { ...range, ...change } : other))
    state.listing = { ...row, ranges }
  }
  return {
    claim: (now, leaseUntil, plan) =>
      Effect.sync(() => {
        const before = state.listing
        const goesOn = before !== null && before.endedAt === null
        if (!goesOn && !isDue(before, now, plan)) return Option.none()
        const row = goesOn ? before : begin(before, now, plan, state.blobs.size)
        const range = row.ranges.find(
          ({ endedAt, claimedUntil }) => endedAt === null && (claimedUntil === null || claimedUntil <= now)
        )
        if (range === undefined) return Option.none()
        const token = row.token + 1
        put({ ...row, token }, range, { token, claimedUntil: leaseUntil })
        const { pass, startedAt } = row
        const { from, upTo, after } = range
        return Option.some<LeftoverScan>({ pass, token, startedAt, from, upTo, after })
      }),
    journal: (_now, objects, notBefore, scan) =>
      Effect.sync(() => {
        if (scan !== undefined && leased(scan) === null) return []
        return journalUnowned(state, objects, notBefore)
      }),
    advance: (scan, to, now, leaseUntil) =>
      Effect.sync(() => {
        const held = leased(scan)
        if (held === null) return Option.none()
        const { row, range } = held
        const { after } = to
        const counts = { listed: row.listed + to.listed, unowned: row.unowned + to.unowned }
        const isLast = row.ranges.every((other) => other === range || other.endedAt !== null)
        put(
          { ...row, ...counts, endedAt: after === null && isLast ? now : null },
          range,
          after === null ? { after, endedAt: now, claimedUntil: null } : { after, claimedUntil: leaseUntil }
        )
        return Option.some(counts)
      }),
    yield: (scan) =>
      Effect.sync(() => {
        const held = leased(scan)
        if (held !== null) put(held.row, held.range, { claimedUntil: null })
      }),
    withdraw: (scan) =>
      Effect.sync(() => {
        const held = leased(scan)
        if (held === null) return 0
        const untouched = [...state.journal].filter(
          ([, entry]) => entry.reason === "leftover" && entry.claimedUntil === null && entry.attempts === 0
        )
        for (const [key] of untouched) strike(state, key, (leases) => leases > 0)
        const ranges = held.row.ranges.map((range) => ({
          ...range,
          after: null,
          endedAt: null,
          claimedUntil: null
        }))
        state.listing = { ...held.row, listed: 0, unowned: 0, ranges }
        return untouched.length
      })
  }
}

const isDue = (before: ListingRow | null, now: number, plan: LeftoverPlan | null): plan is LeftoverPlan =>
  plan !== null && (before === null || before.startedAt <= now - plan.everyMillis)

const begin = (
  before: ListingRow | null,
  now: number,
  plan: LeftoverPlan | null,
  blobs: number
): ListingRow => {
  const isCut = plan !== null && Math.max(blobs, before?.listed ?? 0) >= plan.cutFrom
  const cuts = isCut ? plan.cuts : []
  const unclaimed = { after: null, token: 0, claimedUntil: null, endedAt: null }
  return {
    pass: (before?.pass ?? 0) + 1,
    token: before?.token ?? 0,
    startedAt: now,
    listed: 0,
    unowned: 0,
    endedAt: null,
    ranges: [null, ...cuts].map((from, n) => ({ from, upTo: cuts[n] ?? null, ...unclaimed }))
  }
}

/** Journals those of `objects` that nothing owns, and returns their keys. */
export const journalUnowned = (
  state: State,
  objects: ReadonlyArray<{ readonly key: ObjectKey; readonly sizeBytes: number }>,
  notBefore: number
): ReadonlyArray<ObjectKey> => {
  const known = new Set([
    ...[...state.blobs.values()].map((row) => row.key),
    ...state.intents.keys(),
    ...state.chunks.keys(),
    ...state.journal.keys()
  ])
  const unowned = objects.filter(({ key }) => !known.has(key))
  for (const { key, sizeBytes } of unowned) {
    if (isGuarded(state)) bury(state, key)
    state.journal.set(key, journalRow(null, sizeBytes, "leftover", notBefore))
  }
  return unowned.map(({ key }) => key)
}
