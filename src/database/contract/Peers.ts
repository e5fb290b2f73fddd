/** The other collectors of a catalogue. */
import type { Result } from "./Result.ts"

/** How far a phase of a sweep under way is. */
export interface PeerPhase {
  readonly phase: string
  readonly seen: number
  readonly deleted: number
  readonly bytes: number
  /** How many deletions it expects in all; null if that is not known. */
  readonly expected: number | null
  /** When the phase first reported. */
  readonly since: number
}

/** A phase of a sweep under way that failed. */
export interface PeerFailure {
  readonly phase: string
  readonly message: string
}

/** What a collector said that it does. */
export interface PeerActivity {
  /** When it said so. */
  readonly at: number
  /** The sweep under way; null between sweeps. */
  readonly sweep: {
    readonly name: string
    readonly startedAt: number
    /** The phases that have begun, in their order. */
    readonly phases: ReadonlyArray<PeerPhase>
    /** The phases that have failed, in their order. Older versions do not say. */
    readonly failures?: ReadonlyArray<PeerFailure>
  } | null
  /** When its next sweep is due; null during a sweep, and where it has no schedule. */
  readonly nextDueAt: number | null
}

/** A collector that works on this catalogue. */
export interface Peer {
  readonly id: string
  /** When it last registered. */
  readonly seenAt: number
  /** Its values of the settings on which all collectors must agree, by name. */
  readonly settings: Readonly<Record<string, string>>
  /** What it does; null if it has not said so. */
  readonly activity: PeerActivity | null
}

/** Tells the collectors of a catalogue of each other, so that they can agree on settings. */
export interface Peers {
  /**
   * Records that collector `self` works until `expiresAt`, and returns the others that do. Without an
   * activity the last one stays.
   */
  readonly register: (
    now: number,
    expiresAt: number,
    self: Pick<Peer, "id" | "settings"> & { readonly activity?: PeerActivity }
  ) => Result<ReadonlyArray<Peer>>
  /**
   * Records what a registered collector does, and that it works until `expiresAt` at least; null leaves that
   * as it is. Changes nothing if it is unknown.
   */
  readonly tell: (id: string, activity: PeerActivity, expiresAt: number | null) => Result<void>
  /** Returns the collectors at work at `now`, without `self`, and records nothing. */
  readonly others: (now: number, self: string) => Result<ReadonlyArray<Peer>>
  /** Forgets a collector. Succeeds if it is unknown. */
  readonly leave: (id: string) => Result<void>
}
