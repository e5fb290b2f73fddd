/** What operators tell all collectors of a catalogue. */
import type { Result } from "./Result.ts"

/** A pause of all collectors of a catalogue. */
export interface Pause {
  /** When it was ordered. */
  readonly since: number
  /** Who ordered it: a person, a program or a collector. */
  readonly by: string
  /** Why, for the people who meet it. */
  readonly reason: string
  /** When it ends by itself; null if it lasts until it is ended. */
  readonly until: number | null
}

/** Pauses the collectors of a catalogue. */
export interface Control {
  /** Returns the pause that is in force at `now`; null without one. */
  readonly paused: (now: number) => Result<Pause | null>
  /** Pauses. Replaces an earlier pause. */
  readonly pause: (pause: Pause) => Result<void>
  /** Ends the pause. Returns the one that was in force at `now`; null without one. */
  readonly resume: (now: number) => Result<Pause | null>
}
