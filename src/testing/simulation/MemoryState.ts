/** The catalogue and the store of a simulated app, in memory, with what must hold of every one of them. */
import { createHash } from "node:crypto"
import * as MemoryDatabase from "../../database/Memory.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import * as MemoryStorage from "../../storage/Memory.ts"
import { invariantsOf } from "../Facts.ts"
import type { Facts, ReferenceFact } from "./Invariant.ts"
import type { Time } from "./Time.ts"
import type { Invariant } from "./World.ts"

/** The state that all processes of a run share. */
export interface MemoryState {
  readonly rows: MemoryDatabase.State
  readonly store: MemoryStorage.State
}

/** Returns an empty catalogue with these tables of the host, and an empty store. */
export const empty = (tables: ReadonlyArray<string>): MemoryState => {
  const rows = MemoryDatabase.emptyState(tables)
  // The question whether references are known at all is asked once in the life of a catalogue.
  rows.remembered.held = true
  return { rows, store: MemoryStorage.emptyState() }
}

/** Returns the facts of a moment. */
export const factsOf = ({ rows, store }: MemoryState, time: Pick<Time, "now">): Facts => ({
  now: time.now(),
  blobs: rows.blobs,
  objects: store.objects,
  get references() {
    return referencesOf(rows)
  },
  journal: rows.journal,
  intents: rows.intents,
  pins: rows.pins
})

/** Returns every row that refers to a blob. */
const referencesOf = (rows: MemoryDatabase.State): ReadonlyArray<ReferenceFact> => [
  ...[...rows.hostTables].flatMap((table) =>
    MemoryDatabase.hostRowsOf(rows, table).flatMap(([id, { digest }]) =>
      digest === null ? [] : [{ table, id, digest }]
    )
  ),
  ...rows.referringTables.flatMap((table) =>
    table.rows().map(({ digest, id }) => ({ table: table.table, id, digest }))
  )
]

/** Returns what must hold of every catalogue and store. */
export const invariants = ({ rows, store }: MemoryState): ReadonlyArray<Invariant> => {
  const dead = new Set<ObjectKey>()
  const verified = new WeakMap<Uint8Array, Digest>()
  return [
    {
      name: "rows and objects agree",
      check: () => invariantsOf(rows, store.objects)[0] ?? null
    },
    { name: "a journaled key is never owned again", check: () => ownedAgain(rows, dead) },
    { name: "blobs have the right bytes", check: () => wrongBytes({ rows, store }, verified) }
  ]
}

const ownedAgain = (rows: MemoryDatabase.State, dead: Set<ObjectKey>): string | null => {
  for (const key of rows.journal.keys()) dead.add(key)
  for (const key of rows.intents.keys())
    if (dead.has(key)) return `an upload owns ${key}, which was journaled before`
  for (const [digest, { key }] of rows.blobs)
    if (dead.has(key)) return `blob ${digest} owns ${key}, which was journaled before`
  return null
}

const wrongBytes = ({ rows, store }: MemoryState, verified: WeakMap<Uint8Array, Digest>): string | null => {
  for (const [digest, { key, sizeBytes }] of rows.blobs) {
    const bytes = store.objects.get(key)?.bytes
    if (bytes === undefined || verified.get(bytes) === digest) continue
    const [algorithm = "", hex] = digest.split(":")
    if (bytes.length !== sizeBytes || createHash(algorithm).update(bytes).digest("hex") !== hex)
      return `blob ${digest} has wrong bytes at ${key}`
    verified.set(bytes, digest)
  }
  return null
}

/** Returns those of the digests that a reference source holds. */
export type Held = (digests: ReadonlyArray<Digest>) => ReadonlySet<string>

/** Returns the first piece of garbage that is left, or null. What reference sources hold is no garbage. */
export const leaked = ({ rows, store }: MemoryState, heldOf: Held): string | null => {
  const owned = new Set([...rows.blobs.values()].map(({ key }) => key))
  const referenced = new Set(referencesOf(rows).map(({ digest }) => digest))
  for (const key of store.objects.keys())
    if (!owned.has(key)) return `object ${key} has no owner and is still stored`
  const unreferenced = [...rows.blobs.keys()].filter((digest) => !referenced.has(digest))
  const held = heldOf(unreferenced)
  for (const digest of unreferenced)
    if (!held.has(digest)) return `blob ${digest} has no reference and still has a row`
  for (const key of rows.journal.keys()) return `the journal still holds ${key}`
  for (const key of rows.intents.keys()) return `the intent of ${key} is still there`
  for (const id of rows.pins.keys()) return `pin ${id} is still there`
  for (const id of store.multiparts.keys()) return `upload in parts ${id} is still there`
  return null
}

/** Returns the digests that must read back. */
export const referencedDigests = ({ rows }: MemoryState): ReadonlySet<Digest> =>
  new Set(referencesOf(rows).map(({ digest }) => digest))
