/** Breakers, in memory. */
import { Effect } from "effect"
import { type BreakerName, type BreakerState, type Breakers, isOpen } from "../Database.ts"
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
  confirm: (now) =>
    Effect.sync(() => {
      const open = [...state.breakers.values()].filter(isOpen)
      for (const breaker of open) {
        const confirmedAt = Math.max(now, breaker.trippedAt ?? now)
        state.breakers.set(breaker.name, { ...breaker, confirmedAt })
      }
      return open.map(({ name }) => name).sort()
    }),
  withdraw: (name, now) =>
    Effect.sync(() => {
      const breaker = state.breakers.get(name)
      if (breaker === undefined || !isOpen(breaker)) return
      state.breakers.set(name, { ...breaker, confirmedAt: Math.max(now, breaker.trippedAt ?? now) })
    }),
  exposure: (since, unless) =>
    Effect.sync(() => {
      const sizes = [...state.orphans].flatMap(([digest, { condemnedAt }]) => {
        const row = state.blobs.get(digest)
        return condemnedAt === null || row === undefined || (since !== null && condemnedAt <= since)
          ? []
          : [row.sizeBytes]
      })
      const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)
      const few = sizes.length <= unless
      return {
        blobs: sizes.length,
        bytes: sum(sizes),
        totalBlobs: few ? 0 : state.blobs.size,
        totalBytes: few ? 0 : sum([...state.blobs.values()].map((row) => row.sizeBytes))
      }
    })
})
