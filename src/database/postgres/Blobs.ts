/**
 * The writers' verbs, for many blobs at a time. docs/design/protocol.md explains their shape.
 *
 * Rows are locked in digest order, so two writers that share blobs cannot deadlock. A transaction takes KEY
 * SHARE on a blob's row before it relies on it. A purge waits for that lock and then sees the reference.
 */
import { Effect, Option } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import {
  type Blobs,
  type HostStatements,
  type Intent,
  type Joining,
  type PinChange,
  type Publication,
  type Published,
  type PublishOutcome,
  touchEveryMillis
} from "../Database.ts"
import { instantFor, instantOf, sizeOf } from "./CatalogValues.ts"
import { noHost, onCallersClock, type RunHost, withHost } from "./HostStatements.ts"
import { journalUnowned } from "./Leftovers.ts"
import { pin, unpin } from "./Pins.ts"
import { instant, lastOf, quote, type Sql } from "./Sql.ts"
import type { DigestType } from "./schema/DigestType.ts"
import { isSuspect, replaceSuspects } from "./triggers/unannounced/Suspects.ts"
import { given, type Mode, on, verbs } from "./Verbs.ts"

/** Returns the writers' verbs. */
export const make = (db: Sql, digestType: Effect.Effect<DigestType, SqlError.SqlError>): Blobs => {
  const plain = on(db)
  const typed = given(db, digestType)
  const made = verbs<Blobs>(
    db,
    "blobs",
    {
      adopt: typed(adopt),
      intend: plain(intend),
      renew: plain(renew),
      recordMultipart: plain(recordMultipart),
      publish: typed((_, type, now, publications, options = {}) =>
        withHost(db, options, (host) =>
          publish(db, type, now, publications, { adopts: options.adopts, host })
        )
      ),
      unpin: plain(unpin),
      locate: typed(locate),
      owned: plain(owned),
      discard: plain(discard)
    },
    {
      adopt: (_now, _digests, change) => modeOf(change as Joining | undefined),
      intend: "once",
      unpin: "joining",
      locate: (_digest, joining) => modeOf(joining)
    }
  )
  const adoptOnClock = (...[now, digests, change]: Parameters<Blobs["adopt"]>) =>
    Effect.flatMap(onCallersClock(change as Adopting), (change) => made.adopt(now, digests, change))
  const publishOnClock = (...[now, publications, options]: Parameters<Blobs["publish"]>) =>
    Effect.flatMap(onCallersClock(options), (options) => made.publish(now, publications, options))
  // Their failures are those of the caller's own statements, which the table of verbs cannot tell.
  return {
    ...made,
    adopt: adoptOnClock as Blobs["adopt"],
    publish: publishOnClock as Blobs["publish"]
  }
}

type Adopting = PinChange & HostStatements<ReadonlySet<Digest>, unknown>

const modeOf = ({ joins = false }: Joining = {}): Mode => (joins ? "joining" : "verb")

const adopt = (
  db: Sql,
  type: DigestType,
  now: number,
  digests: ReadonlyArray<Digest>,
  { pins = [], release = [], allOrNothing = false, ...statements }: Adopting = {}
) => {
  const all = [...new Set([...digests, ...pins.map(({ digest }) => digest)])]
  return withHost(db, statements, (host) =>
    Effect.gen(function* () {
      const live = yield* lockLive(db, type, now, all)
      if (allOrNothing && live.size < all.length) return live
      yield* pin(
        db,
        type,
        pins.filter(({ digest }) => live.has(digest))
      )
      if (digests.every((digest) => live.has(digest))) yield* unpin(db, release)
      if (live.size > 0) yield* host(live)
      return live
    })
  )
}

/**
 * Locks those of `digests` that are live and not suspect, ends their sightings, marks them used, and
 * returns them. Runs within a transaction. A purge waits for the lock and then sees what the transaction
 * added.
 *
 * Sightings are locked first, here and in the other files. A purge holds them when it locks the blobs, and
 * so does an unannounced writer that inserts a blob. Locking the blob before its sighting could deadlock
 * with them.
 */
export const lockLive = Effect.fnUntraced(function* (
  db: Sql,
  type: DigestType,
  now: number,
  digests: ReadonlyArray<Digest>
) {
  const { sql, id, raw } = db
  const lives = sql`EXISTS (SELECT FROM ${id.blobs} b WHERE b.${id.digest} = o.digest AND NOT ${isSuspect(db)})`
  yield* clearSightings(db, type, digests, lives)
  const rows = yield* sql<{ digest: string }>`
    SELECT ${id.digest}::text AS digest FROM ${id.blobs} b
    WHERE ${id.digest} = ANY(${digests}::text[]::${raw(type.type)}[]) AND NOT ${isSuspect(db)}
    ORDER BY ${id.digest} FOR KEY SHARE OF b`
  const live = new Set(rows.map((row) => row.digest as Digest))
  yield* touch(db, type, now, [...live])
  return live
})

const touch = (db: Sql, type: DigestType, now: number, digests: ReadonlyArray<Digest>) => {
  const { sql, id, names, raw } = db
  const name = names.lastUsedAtColumn
  if (name === null) return Effect.void
  const column = raw(quote(name))
  return db.firing(sql`
    UPDATE ${id.blobs} SET ${column} = ${instantFor(db, type, name, now)}
    WHERE ${id.digest} = ANY(ARRAY(
      SELECT b.${id.digest} FROM ${id.blobs} b
      WHERE b.${id.digest} = ANY(${digests}::text[]::${raw(type.type)}[])
        AND (b.${column} IS NULL OR ${instantOf(db, type, name)} <= ${instant(now - touchEveryMillis)}::timestamptz)
      ORDER BY b.${id.digest} FOR NO KEY UPDATE)) AND ${db.asHost}`)
}

/** Ends sightings and condemnations: a referenced blob is no orphan. */
const clearSightings = (
  { sql, id, raw }: Sql,
  type: DigestType,
  digests: ReadonlyArray<Digest>,
  condition?: Statement.Fragment
) => sql`
  DELETE FROM ${id.orphans} WHERE digest = ANY(ARRAY(
    SELECT o.digest FROM ${id.orphans} o WHERE o.digest = ANY(${digests}::text[]::${raw(type.type)}[]) ${condition === undefined ? raw("") : sql`AND ${condition}`}
    ORDER BY o.digest FOR UPDATE OF o))`

/**
 * Announces uploads. Tried once: if the answer of its commit was lost, the intent may have been reaped by
 * the time of a second try, which would revive a dead key. After a failure the writer draws another key.
 */
const intend = ({ single, id }: Sql, intents: ReadonlyArray<Intent>) => {
  const rows = lastOf(intents, (i) => i.key)
  return Effect.asVoid(single`
    INSERT INTO ${id.intents} (object_key, digest, expires_at)
    SELECT k, nullif(d, ''), e FROM unnest(${rows.map((i) => i.key)}::text[], ${rows.map((i) => i.digest ?? "")}::text[],
      ${rows.map((i) => instant(i.expiresAt))}::timestamptz[]) AS t (k, d, e)
    ORDER BY k
    ON CONFLICT (object_key) DO UPDATE SET digest = EXCLUDED.digest, expires_at = EXCLUDED.expires_at`)
}

const renew = ({ single: sql, id }: Sql, keys: ReadonlyArray<ObjectKey>, expiresAt: number) =>
  Effect.map(
    sql<{ object_key: string }>`
      UPDATE ${id.intents} SET expires_at = greatest(expires_at, ${instant(expiresAt)}::timestamptz)
      WHERE object_key = ANY(ARRAY(
        SELECT object_key FROM ${id.intents} WHERE object_key = ANY(${keys}::text[]) ORDER BY object_key FOR UPDATE))
      RETURNING object_key`,
    (rows) => new Set(rows.map((row) => row.object_key as ObjectKey))
  )

const recordMultipart = ({ single: sql, id }: Sql, key: ObjectKey, uploadId: string) =>
  Effect.map(
    sql`UPDATE ${id.intents} SET upload_id = ${uploadId} WHERE object_key = ${key} RETURNING 1 AS noted`,
    (rows) => rows.length > 0
  )

/** What a publication does beside. */
interface Publishing {
  readonly adopts?: ReadonlyArray<Digest> | undefined
  readonly host?: RunHost<Published>
}

/**
 * Turns uploads into blobs. Runs within a transaction, which takes the intent under its row lock. Reaping
 * takes the same lock, so exactly one of the two wins.
 */
export const publish = Effect.fnUntraced(function* (
  db: Sql,
  type: DigestType,
  now: number,
  publications: ReadonlyArray<Publication>,
  { adopts = [], host = noHost }: Publishing = {}
) {
  const { sql, id } = db
  const adopted = adopts.length === 0 ? [] : yield* lockLive(db, type, now, adopts)
  const taken = yield* sql<{ object_key: string }>`
    SELECT object_key FROM ${id.intents} WHERE object_key = ANY(${publications.map((p) => p.key)}::text[])
    ORDER BY object_key FOR UPDATE`
  const keys = new Set(taken.map((row) => row.object_key))
  // `delete`, because an intent serves one publication only, also within a batch.
  const isValid = publications.map((p) => keys.delete(p.key))
  const valid = publications.filter((_, index) => isValid[index])
  yield* clearSightings(
    db,
    type,
    valid.map((p) => p.digest)
  )
  const owners = yield* insertBlobs(db, type, now, valid)
  const lives = (p: Publication) => owners.get(p.digest) === p.key
  const copies = valid.filter((p) => !lives(p))
  for (const { digest, key } of yield* replaceSuspects(db, type, now, copies)) owners.set(digest, key)
  // Only now: the triggers against unannounced writers know a fresh key by its intent.
  yield* sql`DELETE FROM ${id.intents} WHERE object_key = ANY(${taken.map((row) => row.object_key)}::text[])`
  yield* journalDuplicates(
    db,
    now,
    valid.filter((p) => !lives(p))
  )
  const newborn = host === noHost ? valid.filter((p) => !copies.includes(p)) : []
  yield* pin(
    db,
    type,
    valid.flatMap((p) => p.pins ?? []),
    new Set(newborn.map(({ digest }) => digest))
  )
  const outcomes = publications.map(
    (p, index): PublishOutcome => (!isValid[index] ? "expired" : lives(p) ? "published" : "deduplicated")
  )
  const live = new Set([...adopted, ...valid.map(({ digest }) => digest)])
  if (live.size > 0) yield* host({ outcomes, live })
  return outcomes
})

/**
 * Inserts blobs and returns the key of each digest afterwards. DO UPDATE waits for a purge in flight and
 * then sees its result. DO NOTHING would answer "exists" for a row that is being deleted.
 */
const insertBlobs = (db: Sql, type: DigestType, now: number, publications: ReadonlyArray<Publication>) => {
  const { sql, id, names, raw } = db
  const first = new Map<Digest, Publication>()
  for (const p of publications) if (!first.has(p.digest)) first.set(p.digest, p)
  const rows = [...first.values()]
  if (rows.length === 0) return Effect.succeed(new Map<Digest, ObjectKey>())
  const used = names.lastUsedAtColumn
  const usedAt = used === null ? raw("") : instantFor(db, type, used, now)
  // Without a column to touch, writes the size, which is in no unique index. Writing to a column of a unique index would
  // lock the row against references in flight.
  const touched = raw(quote(used ?? names.sizeColumn))
  const touchedValue = used === null ? sql`b.${touched}` : sql`greatest(b.${touched}, ${usedAt})`
  return Effect.map(
    db.firing(sql<{ digest: string; object_key: string }>`
      INSERT INTO ${id.blobs} AS b (${id.digest}, ${id.key}, ${id.size}, ${id.createdAt}${used === null ? raw("") : sql`, ${touched}`})
      SELECT d::${raw(type.type)}, k, s, ${instantFor(db, type, names.createdAtColumn, now)}${used === null ? raw("") : sql`, ${usedAt}`}
      FROM unnest(${rows.map((p) => p.digest)}::text[], ${rows.map((p) => p.key)}::text[],
        ${rows.map((p) => BigInt(p.sizeBytes))}::bigint[]) AS t (d, k, s)
      WHERE ${db.asHost} ORDER BY d::${raw(type.type + type.collate)}
      ON CONFLICT (${id.digest}) DO UPDATE SET ${touched} = ${touchedValue}
      RETURNING b.${id.digest}::text AS digest, b.${id.key} AS object_key`),
    (result) => new Map(result.map((row) => [row.digest as Digest, row.object_key as ObjectKey]))
  )
}

const journalDuplicates = ({ sql, id }: Sql, now: number, losers: ReadonlyArray<Publication>) =>
  losers.length === 0
    ? Effect.void
    : sql`
      INSERT INTO ${id.journal} (object_key, digest, size_bytes, reason, journaled_at, not_before)
      SELECT k, d, s, 'duplicate', ${instant(now)}::timestamptz, ${instant(now)}::timestamptz
      FROM unnest(${losers.map((p) => p.key)}::text[], ${losers.map((p) => p.digest)}::text[],
        ${losers.map((p) => BigInt(p.sizeBytes))}::bigint[]) AS t (k, d, s)
      ORDER BY k`

const locate = (db: Sql, type: DigestType, digest: Digest) => {
  const { sql, id, raw } = db
  return Effect.map(
    sql<{ object_key: string; size_bytes: number }>`
      SELECT b.${id.key} AS object_key, ${sizeOf(db)}::float8 AS size_bytes
      FROM ${id.blobs} b WHERE b.${id.digest} = ${digest}::text::${raw(type.type)}`,
    (rows) =>
      Option.map(Option.fromUndefinedOr(rows[0]), (row) => ({
        key: row.object_key as ObjectKey,
        sizeBytes: row.size_bytes
      }))
  )
}

const owned = ({ sql, id }: Sql, keys: ReadonlyArray<ObjectKey>) =>
  Effect.map(
    sql<{ object_key: string }>`
      SELECT k AS object_key FROM unnest(${keys}::text[]) k
      WHERE EXISTS (SELECT FROM ${id.blobs} b WHERE b.${id.key} = k)
        OR EXISTS (SELECT FROM ${id.intents} i WHERE i.object_key = k)
        OR EXISTS (SELECT FROM ${id.uploadChunks} c WHERE c.object_key = k)`,
    (rows) => new Set(rows.map((row) => row.object_key as ObjectKey))
  )

const discard = (db: Sql, now: number, object: { readonly key: ObjectKey; readonly sizeBytes: number }) =>
  Effect.map(journalUnowned(db, now, [object], now), (journaled) => journaled.length > 0)
