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

/** A setting that operators changed for all collectors of a catalogue, without a restart. */
export interface Override {
  /** The name of the setting, such as `GC_INTERVAL`. */
  readonly name: string
  /** Its value, as the environment would give it. */
  readonly value: string
  /** When it was set. */
  readonly since: number
  /** Who set it: a person or a program. */
  readonly by: string
  /** Why, for the people who meet it. */
  readonly reason: string
  /** When it ends by itself; null if it lasts until it is unset. */
  readonly until: number | null
}

/** What is in force for the collectors of a catalogue. */
export interface Orders {
  /** Null without one. */
  readonly pause: Pause | null
  /** By name. */
  readonly overrides: ReadonlyArray<Override>
}

/** Pauses the collectors of a catalogue, and changes their settings. */
export interface Control {
  /** Returns what is in force at `now`. */
  readonly orders: (now: number) => Result<Orders>
  /** Returns the pause that is in force at `now`; null without one. */
  readonly paused: (now: number) => Result<Pause | null>
  /** Pauses. Replaces an earlier pause. */
  readonly pause: (pause: Pause) => Result<void>
  /** Ends the pause. Returns the one that was in force at `now`; null without one. */
  readonly resume: (now: number) => Result<Pause | null>
  /** Changes a setting. Replaces an earlier change of the same name. */
  readonly set: (override: Override) => Result<void>
  /** Ends the change of a setting. Returns the one that was in force at `now`; null without one. */
  readonly unset: (name: string, now: number) => Result<Override | null>
}
