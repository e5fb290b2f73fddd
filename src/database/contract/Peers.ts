/** The other collectors of a catalogue. */
import type { Result } from "./Result.ts"

/** A collector that works on this catalogue. */
export interface Peer {
  readonly id: string
  /** When it last registered. */
  readonly seenAt: number
  /** Its values of the settings on which all collectors must agree, by name. */
  readonly settings: Readonly<Record<string, string>>
}

/** Tells the collectors of a catalogue of each other, so that they can agree on settings. */
export interface Peers {
  /** Records that collector `self` works until `expiresAt`, and returns the others that do. */
  readonly register: (
    now: number,
    expiresAt: number,
    self: Pick<Peer, "id" | "settings">
  ) => Result<ReadonlyArray<Peer>>
  /** Returns the collectors at work at `now`, without `self`, and records nothing. */
  readonly others: (now: number, self: string) => Result<ReadonlyArray<Peer>>
  /** Forgets a collector. Succeeds if it is unknown. */
  readonly leave: (id: string) => Result<void>
}
