/** What operators tell all collectors, in memory. */
import { Effect } from "effect"
import type { Control } from "../Database.ts"
import type { State } from "./State.ts"

const ifInForce = <Order extends { readonly until: number | null }>(
  order: Order | null | undefined,
  now: number
): Order | null =>
  order === null || order === undefined || (order.until !== null && order.until <= now) ? null : order

/** Returns the verbs of control over `state`. */
export const control = (state: State): Control => ({
  orders: (now) =>
    Effect.sync(() => ({
      pause: ifInForce(state.pause, now),
      overrides: [...state.overrides.values()]
        .flatMap((override) => ifInForce(override, now) ?? [])
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    })),
  paused: (now) => Effect.sync(() => ifInForce(state.pause, now)),
  pause: (pause) =>
    Effect.sync(() => {
      state.pause = pause
    }),
  resume: (now) =>
    Effect.sync(() => {
      const ended = ifInForce(state.pause, now)
      state.pause = null
      return ended
    }),
  set: (override) =>
    Effect.sync(() => {
      state.overrides.set(override.name, override)
    }),
  unset: (name, now) =>
    Effect.sync(() => {
      const ended = ifInForce(state.overrides.get(name), now)
      state.overrides.delete(name)
      return ended
    })
})
