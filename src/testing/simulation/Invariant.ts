/** What a host requires to hold, and the facts that it may look at. */
import type { Effect } from "effect"
import type { BlobRow, IntentRow, JournalRow } from "../../database/Memory.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Entry } from "../../storage/Memory.ts"

/** A row that refers to a blob. */
export interface ReferenceFact {
  /** The table. */
  readonly table: string
  /** The primary key as text. */
  readonly id: string
  readonly digest: Digest
}

/** What is true at one moment. The maps are those of the catalogue and the store, so read them at once. */
export interface Facts {
  /** The present instant, in milliseconds since the epoch. */
  readonly now: number
  /** Rows of blobs by digest. */
  readonly blobs: ReadonlyMap<Digest, BlobRow>
  /** Objects in the store by key. */
  readonly objects: ReadonlyMap<ObjectKey, Entry>
  /** Every row that refers to a blob. */
  readonly references: ReadonlyArray<ReferenceFact>
  /** Keys whose objects are to be deleted. */
  readonly journal: ReadonlyMap<ObjectKey, JournalRow>
  /** Keys of announced uploads. */
  readonly intents: ReadonlyMap<ObjectKey, IntentRow>
  /** Pins by id. */
  readonly pins: ReadonlyMap<string, { readonly digest: Digest; readonly expiresAt: number }>
}

/** What a host requires to hold. */
export interface HostInvariant<R = never> {
  /** A sentence that is true while it holds. It names the invariant when it breaks. */
  readonly name: string
  /** Returns in words what is broken, or null. An Effect runs in one step, with the shared services. */
  readonly check: (facts: Facts) => string | null | Effect.Effect<string | null, unknown, R>
  /** Whether it is checked after every step, or once when faults have ended and nothing is under way. */
  readonly when: "always" | "at the end"
}

/**
 * Something that must hold after every step. `check` returns in words what is broken, or null.
 *
 * ```ts
 * Simulation.invariant("every attachment has its blob", ({ blobs, references }) => {
 *   const lost = references.find(({ digest }) => !blobs.has(digest))
 *   return lost === undefined ? null : `attachment ${lost.id} refers to ${lost.digest}, which has no row`
 * })
 * ```
 */
export const invariant = <R = never>(name: string, check: HostInvariant<R>["check"]): HostInvariant<R> => ({
  name,
  check,
  when: "always"
})

/** Something that must hold once faults have ended, no request is under way, and sweeps have nothing left to do. */
export const atEnd = <R = never>(name: string, check: HostInvariant<R>["check"]): HostInvariant<R> => ({
  name,
  check,
  when: "at the end"
})
