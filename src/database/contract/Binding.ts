/** The binding: to which catalogue, store and database the collector's tables belong, and how old they are. */
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/** Names what the collector's tables are bound to, by setting. Only names that both sides know are compared. */
export type Identity = Readonly<Record<string, string>>

/** The server and its database, as far as this role may ask. */
export interface ServerIdentity {
  /**
   * The server's system identifier and the database's OID. Both are other ones in a database that was copied
   * or restored from a dump. Null if the server does not tell them.
   */
  readonly server: string | null
  /**
   * The timeline of the server's log. A fail-over and a restore to a point in time begin a new one. Null if
   * the server does not tell it.
   */
  readonly timeline: string | null
}

/** A time of which the database may have forgotten what was written. */
export interface LostTime {
  /** Its begin, in milliseconds since the epoch. */
  readonly from: number
  /** Its end, in milliseconds since the epoch. */
  readonly to: number
  /** When a sweep noticed it. */
  readonly foundAt: number
  /** Why a sweep suspects it: a clause. */
  readonly why: string
}

/** The binding as it is stored. */
export interface Bound extends ServerIdentity {
  readonly id: string
  readonly boundAt: number
  readonly identity: Identity
  /** The last sweep that the database remembers, to the minute; null before the first. */
  readonly sweptAt: number | null
  /** The usual time between two sweeps; null before the second. It follows longer ones at once, and shorter ones slowly. */
  readonly usualGapMillis: number | null
  /** Below this part of the sampled rows with an object, no sweep deletes. */
  readonly foundShareMin: number
  /** Objects of this time that nothing owns are not deleted until a person confirms. Null: there is no such time. */
  readonly lost: LostTime | null
}

/** The binding, and what it is compared with. */
export interface BindingState {
  /** Null before the first sweep. */
  readonly bound: Bound | null
  /** The catalogue of this connection. */
  readonly catalogue: Identity
  /** The server of this connection. */
  readonly here: ServerIdentity
  /** The last search for leftovers: when it began, and whether it ended. Null before the first. */
  readonly listing: { readonly startedAt: number; readonly ended: boolean } | null
}

/** A row of the catalogue whose object should exist. */
export interface SampledBlob {
  readonly digest: Digest
  readonly key: ObjectKey
  /** Whether anything refers to it. The object of garbage may be missing, after a crash of another collector. */
  readonly referenced: boolean
}

/** What a rebinding changes beside the binding. */
export interface Rebinding {
  /** Whether the store is another one. Then the keys that are meant for the former one are forgotten. */
  readonly store: boolean
  /** Whether the catalogue is another one. Then its marks and foreign keys are forgotten. */
  readonly catalogue: boolean
}

/** What a rebinding has forgotten. */
export interface Forgotten {
  /** Journaled keys, dead letters included. */
  readonly journaled: number
  /** Intents and staged chunks. */
  readonly uploads: number
  /** Sightings and condemnations. */
  readonly orphans: number
}

/** Ties the collector's tables to one catalogue and one store. */
export interface Binding {
  /** Returns the binding and this connection's side of it. Call `inspect` before. */
  readonly read: Result<BindingState>
  /** Binds the tables, unless they are bound already: of two collectors, one wins. Answers nothing, so read again. */
  readonly bind: (now: number, id: string, identity: Identity, here: ServerIdentity) => Result<void>
  /** Records that a sweep began at `now`, on this server, and the usual time between two. */
  readonly remember: (now: number, here: ServerIdentity, usualGapMillis: number | null) => Result<void>
  /**
   * Records a lost time, joined with one that is recorded already, and that a sweep began at its end. Takes
   * back the journaled leftovers that no collector has begun to delete: the next search judges them again.
   */
  readonly suspect: (lost: LostTime, here: ServerIdentity, usualGapMillis: number | null) => Result<void>
  /** Forgets the lost time that was found at `foundAt`. */
  readonly release: (foundAt: number) => Result<void>
  /**
   * Binds the tables anew, in one transaction with what must be forgotten. The next sweep asks nothing about
   * the server. Returns what was forgotten.
   */
  readonly rebind: (
    now: number,
    identity: Identity,
    here: ServerIdentity,
    foundShareMin: number,
    changed: Rebinding
  ) => Result<Forgotten>
  /**
   * Draws up to `limit` rows at random, referenced ones if there are any, of those created at or before
   * `createdBefore`. Reads a few pages of the table.
   */
  readonly sample: (createdBefore: number, limit: number) => Result<ReadonlyArray<SampledBlob>>
  /** Returns up to `limit` rows of orphans that were condemned first. */
  readonly due: (limit: number) => Result<ReadonlyArray<SampledBlob>>
}
