/** The other collectors of a catalogue. */
import type { Result } from "./Result.ts"

/** A collector that works on this catalogue. */
export interface Peer {
  readonly id: string
  readonly seenAt: number
  /** What its settings say where all collectors must say the same, by name. */
  readonly settings: Readonly<Record<string, string>>
}

/** Who collects, for settings that all collectors must share. */
export interface Peers {
  /** Notes that collector `self` is at work until `expiresAt`, and answers the others that are. */
  readonly register: (
    now: number,
    expiresAt: number,
    self: Pick<Peer, "id" | "settings">
  ) => Result<ReadonlyArray<Peer>>
  /** The collectors at work at `now` but `self`, which is not noted. */
  readonly others: (now: number, self: string) => Result<ReadonlyArray<Peer>>
  /** Forgets a collector; one that is unknown is success. */
  readonly leave: (id: string) => Result<void>
}
