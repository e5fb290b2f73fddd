/** What operators tell all collectors, in memory. */
import { Effect } from "effect"
import type { Control } from "../Database.ts"
import type { State } from "./State.ts"

const inForce = ({ pause }: State, now: number) =>
  pause === null || (pause.until !== null && pause.until <= now) ? null : pause

/** Returns the verbs of control over `state`. */
export const control = (state: State): Control => ({
  paused: (now) => Effect.sync(() => inForce(state, now)),
  pause: (pause) =>
    Effect.sync(() => {
      state.pause = pause
    }),
  resume: (now) =>
    Effect.sync(() => {
      const ended = inForce(state, now)
      state.pause = null
      return ended
    })
})
