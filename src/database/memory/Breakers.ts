/** Breakers, in memory. */
import { Effect } from "effect"
import {
  type BreakerDay,
  type BreakerName,
  type BreakerState,
  type Breakers,
  dayOf,
  historyMillis,
  isOpen,
  type Stock
} from "../Database.ts"
import type { State } from "./State.ts"

const closed = (name: BreakerName): BreakerState => ({
  name,
  trippedAt: null,
  exposure: null,
  confirmedAt: null
})

/** Returns the verbs of breakers over `state`. */
export const breakers = (state: State): Breakers => ({
  read: (name) => Effect.sync(() => state.breakers.get(name) ?? closed(name)),
  trip: (name, now, exposure) =>
    Effect.sync(() => {
      const before = state.breakers.get(name) ?? closed(name)
      if (!isOpen(before)) state.breakers.set(name, { ...before, trippedAt: now, exposure })
    }),
  list: Effect.sync(() => [...state.breakers.values()].sort((a, b) => (a.name < b.name ? -1 : 1))),
  confirm: (now, names) =>
    Effect.sync(() => {
      const open = [...state.breakers.values()].filter(
        (breaker) => isOpen(breaker) && (names?.includes(breaker.name) ?? true)
      )
      for (const breaker of open) {
        const confirmedAt = Math.max(now, breaker.trippedAt ?? now)
        state.breakers.set(breaker.name, { ...breaker, confirmedAt })
        const burst = breaker.exposure
        if (burst !== null && burst.totalBlobs > 0) add(state, breaker.name, now, { burst })
      }
      return open.map(({ name }) => name).sort()
    }),
  exposure: (since, unless, until = Number.POSITIVE_INFINITY) =>
    Effect.sync(() => {
      const counted: Array<number> = []
      for (const [digest, { cause, condemnedAt }] of state.orphans) {
        const row = state.blobs.get(digest)
        const counts =
          condemnedAt !== null && condemnedAt > (since ?? Number.NEGATIVE_INFINITY) && condemnedAt <= until
        if (counts && row !== undefined && cause === undefined) counted.push(row.sizeBytes)
      }
      if (counted.length <= unless)
        return { blobs: counted.length, bytes: sum(counted), totalBlobs: 0, totalBytes: 0 }
      const all = [...state.blobs].flatMap(([digest, row]) =>
        state.orphans.get(digest)?.cause === undefined ? [row.sizeBytes] : []
      )
      return { blobs: counted.length, bytes: sum(counted), totalBlobs: all.length, totalBytes: sum(all) }
    }),
  history: (name, since) =>
    Effect.sync(() =>
      [...(state.breakerHistory.get(name)?.values() ?? [])]
        .filter(({ day }) => day >= dayOf(since))
        .sort((a, b) => b.day - a.day)
    ),
  note: (name, at, seen) => Effect.sync(() => add(state, name, at, seen))
})

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)

const none: Stock = { blobs: 0, bytes: 0 }

const add = (
  state: State,
  name: BreakerName,
  at: number,
  { burst = null, lost = none, total = none }: Partial<Omit<BreakerDay, "day">>
): void => {
  const days = state.breakerHistory.get(name) ?? new Map<number, BreakerDay>()
  state.breakerHistory.set(name, days)
  for (const day of days.keys()) if (day < dayOf(at - historyMillis)) days.delete(day)
  const day = dayOf(at)
  const before = days.get(day) ?? { day, total: none, lost: none, burst: null }
  days.set(day, {
    day,
    total: {
      blobs: Math.max(before.total.blobs, total.blobs),
      bytes: Math.max(before.total.bytes, total.bytes)
    },
    lost: { blobs: before.lost.blobs + lost.blobs, bytes: before.lost.bytes + lost.bytes },
    burst: burst ?? before.burst
  })
}
