/**
 * The invariants of a catalogue and its store, which hold at every moment, whatever failed, crashed or raced.
 * Check them after each step of a test. An empty result means that all hold.
 */
import { Effect, Stream } from "effect"
import type { Digest } from "../domain/Digest.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { Storage } from "../storage/Storage.ts"

/** The rows that say what owns which key. The memory database's `State` is one of these. */
export interface Rows {
  /** Blobs by digest. */
  readonly blobs: ReadonlyMap<Digest, { readonly key: ObjectKey }>
  /** References by id. Null is no reference. */
  readonly references: ReadonlyMap<string, { readonly digest: Digest | null }>
  /** Journaled keys. */
  readonly journal: ReadonlyMap<ObjectKey, unknown>
  /** Keys of announced uploads. */
  readonly intents: ReadonlyMap<ObjectKey, unknown>
  /** Upload sessions by id, and the bytes that they have received. Only a registry has any. */
  readonly sessions?: ReadonlyMap<string, { readonly state: string; readonly receivedBytes: number }>
  /** Staged chunks by key. */
  readonly chunks: ReadonlyMap<
    ObjectKey,
    { readonly session: string; readonly startByte: number; readonly sizeBytes: number }
  >
  /**
   * Suspects: keys in doubt, by digest. The object of such a row may be missing, and nothing may refer to it.
   */
  readonly suspects?: ReadonlyMap<Digest, ReadonlySet<ObjectKey>>
}

/** Returns every key in the store, in key order. */
export const objects = (storage: Storage["Service"]): Effect.Effect<ReadonlyArray<ObjectKey>, StorageError> =>
  Effect.map(Stream.runCollect(storage.list("")), (pages) => pages.flat().map((object) => object.key))

/**
 * Returns in words which invariants of docs/design/protocol.md are broken:
 * - Every referenced blob has a row. Every row has its object, unless it is a suspect.
 * - A key has at most one owner. No row and no upload under way owns a journaled key.
 * - A session that is not done has chunks from its first byte to its last, each with its object. A session
 *   that is done has none.
 */
export const invariants = (rows: Rows, storage: Storage["Service"]) =>
  Effect.map(objects(storage), (keys) => invariantsOf(rows, new Set(keys)))

/** Returns the same as {@link invariants}, for the keys that are `present` in the store. */
export const invariantsOf = (rows: Rows, present: { readonly has: (key: ObjectKey) => boolean }) => {
  const keys = new Map([...rows.blobs].map(([digest, { key }]) => [key, digest]))
  return [
    ...[...rows.references].flatMap(([id, { digest }]) =>
      digest === null || rows.blobs.has(digest)
        ? []
        : [`reference ${id} is to blob ${digest}, which has no row`]
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
 * Returns the keys of objects and of uploads in parts that no row, no upload under way and no journal entry
 * owns. A crash may leave some, which a later listing finds. After every wait and all phases, none may be
 * left. Objects below `except` do not count: the catalogue does not own staged uploads below their prefix.
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
