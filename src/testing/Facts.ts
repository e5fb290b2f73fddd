/**
 * What must be true of a catalogue and its store at every moment, whatever failed, crashed or raced. Ask after each
 * step of a test; an empty answer is the good one.
 */
import { Effect, Stream } from "effect"
import type { Digest } from "../domain/Digest.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { Storage } from "../storage/Storage.ts"

/** The rows that say who owns which key. The memory database's `State` is one of these. */
export interface Rows {
  readonly blobs: ReadonlyMap<Digest, { readonly key: ObjectKey }>
  readonly references: ReadonlyMap<string, { readonly digest: Digest }>
  readonly journal: ReadonlyMap<ObjectKey, unknown>
  readonly intents: ReadonlyMap<ObjectKey, unknown>
  /** Upload sessions by id, and what they have received. Only a registry has any. */
  readonly sessions?: ReadonlyMap<string, { readonly state: string; readonly receivedBytes: number }>
  readonly chunks: ReadonlyMap<
    ObjectKey,
    { readonly session: string; readonly startByte: number; readonly sizeBytes: number }
  >
  /** Keys in doubt, by digest: the object of a row that names one need not exist. Nothing may refer to it. */
  readonly suspects?: ReadonlyMap<Digest, ReadonlySet<ObjectKey>>
}

/** Every key in the store, in key order. */
export const objects = (storage: Storage["Service"]): Effect.Effect<ReadonlyArray<ObjectKey>, StorageError> =>
  Effect.map(Stream.runCollect(storage.list("")), (pages) => pages.flat().map((object) => object.key))

/**
 * Which invariants of docs/design/protocol.md are broken, in words:
 * - what is referenced has a row, and every row has its object, unless it is suspect;
 * - a key has one owner at most: what is journaled belongs to no row and to no upload under way;
 * - a session that is not done has chunks from its first byte to its last, each with its object; one that is done has none.
 */
export const invariants = (rows: Rows, storage: Storage["Service"]) =>
  Effect.map(objects(storage), (keys) => invariantsOf(rows, new Set(keys)))

/** {@link invariants}, of keys that are known to be `present`. */
export const invariantsOf = (rows: Rows, present: { readonly has: (key: ObjectKey) => boolean }) => {
  const keys = new Map([...rows.blobs].map(([digest, { key }]) => [key, digest]))
  return [
    ...[...rows.references].flatMap(([id, { digest }]) =>
      rows.blobs.has(digest) ? [] : [`reference ${id} is to blob ${digest}, which has no row`]
    ),
    ...[...rows.blobs].flatMap(([digest, { key }]) =>
      present.has(key) || rows.suspects?.get(digest)?.has(key) === true
        ? []
        : [`blob ${digest} has no object at ${key}`]
    ),
    ...[...rows.journal.keys()].flatMap((key) => [
      ...(keys.has(key) ? [`the journal holds ${key}, which blob ${keys.get(key)} owns`] : []),
      ...(rows.intents.has(key) ? [`the journal holds ${key}, which an upload owns`] : []),
      ...(rows.chunks.has(key) ? [`the journal holds ${key}, which an upload session owns`] : [])
    ]),
    ...[...rows.intents.keys()].flatMap((key) =>
      keys.has(key) ? [`an upload owns ${key}, and so does blob ${keys.get(key)}`] : []
    ),
    ...chunksOf(rows, keys, present)
  ]
}

const chunksOf = (
  { sessions = new Map(), chunks, intents }: Rows,
  blobs: ReadonlyMap<ObjectKey, Digest>,
  present: { readonly has: (key: ObjectKey) => boolean }
): ReadonlyArray<string> => [
  ...[...chunks].flatMap(([key, { session }]) => [
    ...(blobs.has(key) ? [`an upload session owns ${key}, and so does blob ${blobs.get(key)}`] : []),
    ...(intents.has(key) ? [`an upload session owns ${key}, and so does an upload`] : []),
    ...(present.has(key) ? [] : [`upload session ${session} has no object at ${key}`]),
    ...(sessions.has(session) ? [] : [`${key} is of upload session ${session}, which has no row`])
  ]),
  ...[...sessions].flatMap(([id, { state, receivedBytes }]) => {
    const own = [...chunks.values()].filter(({ session }) => session === id)
    const inOrder = own.sort((a, b) => a.startByte - b.startByte)
    let end = 0
    for (const { startByte, sizeBytes } of inOrder) end = startByte === end ? end + sizeBytes : Number.NaN
    const expected = state === "done" ? 0 : receivedBytes
    return end === expected
      ? []
      : [`upload session ${id} is ${state} with ${receivedBytes} bytes, and its chunks do not fit`]
  })
]

/**
 * Objects, and uploads in parts by their key, that belong to nothing: neither a row, nor an upload under way, nor the
 * journal knows them. Right after a crash there may be some, for a listing to find; when every wait is over and all
 * phases have run, there must be none.
 * Staged uploads are none of the catalogue's business, hence `except`, their prefix.
 */
export const leaks = Effect.fnUntraced(function* (
  rows: Rows,
  storage: Storage["Service"],
  except: string | null = null
) {
  const known = new Set<ObjectKey>([
    ...[...rows.blobs.values()].map(({ key }) => key),
    ...rows.intents.keys(),
    ...rows.chunks.keys(),
    ...rows.journal.keys()
  ])
  const parts = yield* Stream.runCollect(storage.multiparts(""))
  const underWay = new Set<ObjectKey>([...rows.intents.keys(), ...rows.journal.keys()])
  const leaked = [
    ...(yield* objects(storage)).filter((key) => !known.has(key)),
    ...parts.flat().flatMap(({ key }) => (underWay.has(key) ? [] : [key]))
  ]
  return leaked.filter((key) => except === null || !key.startsWith(except))
})
