/**
 * Upload sessions. Each verb is a transaction that moves keys between intent, session, blob and journal, so
 * that each key has exactly one owner in every snapshot.
 *
 * Locks are taken in one order: the session's row, then intents, then those of `publish` (sightings, blobs,
 * pins), then journal rows. No transaction that holds a later lock asks for a session's: reaping, purging
 * and the search for leftovers know no sessions. Chunks are read and changed only by the transaction that
 * holds their session's row. A verb takes one session, except `expire`, which skips locked ones.
 */
import { Effect, Option } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { Publication, PublishOutcome } from "../../../database/Database.ts"
import { publish } from "../../../database/postgres/Blobs.ts"
import { instant, millis, millisOrNull } from "../../../database/postgres/Sql.ts"
import type { DigestType } from "../../../database/postgres/schema/DigestType.ts"
import { given, on, verbs } from "../../../database/postgres/Verbs.ts"
import type { Algorithm, Digest } from "../../../domain/Digest.ts"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"
import type {
  AppendOutcome,
  ClaimOutcome,
  Lease,
  SentChunk,
  SessionRef,
  Sessions,
  StagedChunk
} from "../contract/UploadSessions.ts"
import { backlog, expire, idle, journalChunks, journaling } from "./Idle.ts"
import type { RegistrySql } from "./RegistrySql.ts"
import {
  active,
  type ChunkRow,
  chunksOf,
  columns,
  named,
  type Row,
  toChunk,
  toSession
} from "./SessionRows.ts"

/** Returns the verbs of upload sessions. */
export const make = (db: RegistrySql, digestType: Effect.Effect<DigestType, SqlError.SqlError>): Sessions => {
  const plain = on(db)
  return verbs<Sessions>(db, "sessions", {
    open: plain(open),
    read: plain(read),
    touch: plain(touch),
    append: (...args) => firstly(appendAtOnce(db, ...args), () => db.transaction(append(db, ...args))),
    claim: (...args) => firstly(claimAtOnce(db, ...args), () => db.transaction(claim(db, ...args))),
    renewClaim: plain(renewClaim),
    release: plain(release),
    complete: given(
      db,
      digestType
    )((_, type, ...args: Parameters<Sessions["complete"]>) => db.transaction(complete(db, type, ...args))),
    cancel: (...args) => db.transaction(cancel(db, ...args)),
    expire: (request) => db.transaction(expire(db, request)),
    idle: plain(idle),
    backlog: backlog(db)
  })
}

/** Runs the statement for the usual case, and the transaction for all others if the statement has found none. */
const firstly = <A, E>(usual: Effect.Effect<A | null, E>, all: () => Effect.Effect<A, E>) =>
  Effect.flatMap(usual, (found): Effect.Effect<A, E> => (found === null ? all() : Effect.succeed(found)))

const open = (
  { single, id }: RegistrySql,
  now: number,
  ref: SessionRef & { readonly algorithm: Algorithm }
) =>
  Effect.asVoid(single`
    INSERT INTO ${id.uploadSessions} (id, repository, algorithm, state, received_bytes, last_activity_at)
    VALUES (${ref.id}, ${ref.repository}, ${ref.algorithm}, 'open', 0, ${instant(now)}::timestamptz)
    ON CONFLICT (id) DO NOTHING`)

const read = (db: RegistrySql, ref: SessionRef) =>
  Effect.map(
    db.sql<Row>`SELECT ${columns(db)} FROM ${db.id.uploadSessions} WHERE ${named(db, ref)}`,
    ([row]) => Option.map(Option.fromUndefinedOr(row), toSession)
  )

/** Locks and returns the session's row, or undefined if there is none. */
const lock = (db: RegistrySql, ref: SessionRef) =>
  Effect.map(
    db.sql<Row>`
      SELECT ${columns(db)} FROM ${db.id.uploadSessions} WHERE ${named(db, ref)} FOR UPDATE`,
    ([row]) => row
  )

const touch = (db: RegistrySql, now: number, ref: SessionRef) =>
  Effect.map(
    db.single`
      UPDATE ${db.id.uploadSessions} SET ${active(db, now)}
      WHERE ${named(db, ref)} AND state <> 'done' RETURNING 1 AS touched`,
    (rows) => rows.length > 0
  )

/** Does what {@link append} does with a chunk that fits, in one statement. Returns null, and changes nothing, for any other. */
const appendAtOnce = (
  db: RegistrySql,
  now: number,
  ref: SessionRef,
  chunk: SentChunk
): Effect.Effect<AppendOutcome | null, SqlError.SqlError> => {
  if (chunk.sizeBytes === 0) return Effect.succeed(null)
  const { single: sql, id } = db
  const { key, startByte } = chunk
  const fits = sql`
    fits AS MATERIALIZED (
      SELECT id FROM ${id.uploadSessions}
      WHERE ${named(db, ref)} AND state = 'open' AND received_bytes = ${BigInt(startByte)}::bigint FOR UPDATE),
    taken AS (
      DELETE FROM ${id.intents} WHERE object_key = ${key} AND EXISTS (SELECT FROM fits) RETURNING object_key)`
  return Effect.map(add(db, now, ref, chunk, fits), (row) =>
    row === undefined ? null : { _tag: "appended", session: toSession(row) }
  )
}

const append = Effect.fnUntraced(function* (
  db: RegistrySql,
  now: number,
  ref: SessionRef,
  chunk: SentChunk
): Effect.fn.Return<AppendOutcome, SqlError.SqlError> {
  const row = yield* lock(db, ref)
  if (row === undefined) {
    yield* discard(db, now, chunk)
    return { _tag: "unknown" }
  }
  const fits = row.state === "open" && row.received_bytes === chunk.startByte
  if (fits && chunk.sizeBytes > 0) {
    const taken = db.sql`
      taken AS (DELETE FROM ${db.id.intents} WHERE object_key = ${chunk.key} RETURNING object_key)`
    const grown = yield* add(db, now, ref, chunk, taken)
    return grown === undefined ? { _tag: "expired" } : { _tag: "appended", session: toSession(grown) }
  }
  if (!fits && (yield* isChunk(db, ref, chunk))) return { _tag: "appended", session: toSession(row) }
  yield* discard(db, now, chunk)
  if (!fits) return { _tag: "conflict", session: toSession(row) }
  yield* touch(db, now, ref)
  return {
    _tag: "appended",
    session: { ...toSession(row), lastActivityAt: Math.max(millis(row.last_activity_at), now) }
  }
})

/**
 * Turns an intent into the last chunk of a session, whose row `taken` or the transaction holds. `taken` takes the intent. Returns
 * undefined if it did not.
 */
const add = (
  db: RegistrySql,
  now: number,
  ref: SessionRef,
  { digest, hash, sizeBytes, startByte }: SentChunk,
  taken: Statement.Fragment
) => {
  const { single: sql, id } = db
  // One statement adds the chunk and replaces the hash, so that no crash can part them.
  const hashed =
    hash === undefined
      ? sql``
      : sql`, hash_written_by = ${hash.writtenBy}, hash_bytes = ${BigInt(hash.bytes)}::bigint,
          hash_state = ${Buffer.from(hash.state)}::bytea`
  return Effect.map(
    sql<Row>`
      WITH ${taken},
      added AS (
        INSERT INTO ${id.uploadChunks} (object_key, session_id, start_byte, size_bytes, digest)
        SELECT object_key, ${ref.id}, ${BigInt(startByte)}::bigint, ${BigInt(sizeBytes)}::bigint, ${digest} FROM taken
        RETURNING size_bytes)
      UPDATE ${id.uploadSessions} SET received_bytes = received_bytes + added.size_bytes, ${active(db, now)}${hashed}
      FROM added WHERE ${named(db, ref)} RETURNING ${columns(db)}`,
    ([row]) => row
  )
}

/** Returns whether an earlier try has added the chunk and only its answer was lost. */
const isChunk = ({ sql, id }: RegistrySql, ref: SessionRef, { key, startByte }: StagedChunk) =>
  Effect.map(
    sql`
      SELECT 1 AS there FROM ${id.uploadChunks}
      WHERE object_key = ${key} AND session_id = ${ref.id} AND start_byte = ${BigInt(startByte)}::bigint`,
    (rows) => rows.length > 0
  )

/** Journals the key of bytes that arrived too late, if its intent still exists. */
const discard = (
  { sql, id }: RegistrySql,
  now: number,
  { key, sizeBytes }: { readonly key: ObjectKey; readonly sizeBytes: number }
) => sql`
  WITH dropped AS (
    DELETE FROM ${id.intents} WHERE object_key = ${key} RETURNING object_key, upload_id)
  INSERT INTO ${id.journal} (object_key, size_bytes, reason, journaled_at, not_before, upload_id)
  SELECT object_key, ${BigInt(sizeBytes)}::bigint, 'upload', ${instant(now)}::timestamptz, ${instant(now)}::timestamptz,
    upload_id
  FROM dropped ON CONFLICT (object_key) DO NOTHING`

/** Does what {@link claim} does with an open session, in one statement. Returns null, and changes nothing, for any other. */
const claimAtOnce = Effect.fnUntraced(function* (
  db: RegistrySql,
  now: number,
  ref: SessionRef,
  { token, until }: Lease
): Effect.fn.Return<ClaimOutcome | null, SqlError.SqlError> {
  const { single: sql, id } = db
  const rows = yield* sql<Row & Partial<ChunkRow>>`
    WITH claimed AS (
      UPDATE ${id.uploadSessions} SET state = 'finalizing', token = ${token},
        lease_until = ${instant(until)}::timestamptz, ${active(db, now)}
      WHERE ${named(db, ref)} AND state = 'open' AND lease_until IS NULL RETURNING ${columns(db)})
    SELECT claimed.*, c.start_byte::float8 AS start_byte, c.size_bytes::float8 AS size_bytes, c.object_key,
      c.digest AS chunk_digest
    FROM claimed LEFT JOIN ${id.uploadChunks} c ON c.session_id = claimed.id ORDER BY c.start_byte`
  const [row] = rows
  if (row === undefined) return null
  const session = toSession(row)
  const chunks = rows.flatMap(toChunk)
  // The statement began before a chunk was committed for whose transaction it waited.
  const isWhole = chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) === session.receivedBytes
  return { _tag: "claimed", session, chunks: isWhole ? chunks : yield* chunksOf(db, ref) }
})

const claim = Effect.fnUntraced(function* (
  db: RegistrySql,
  now: number,
  ref: SessionRef,
  { token, until }: Lease
): Effect.fn.Return<ClaimOutcome, SqlError.SqlError> {
  const { sql, id } = db
  const row = yield* lock(db, ref)
  if (row === undefined) return { _tag: "unknown" }
  if (row.state === "done") {
    return { _tag: "done", session: toSession(row), digest: row.digest as Digest }
  }
  const leaseUntil = millisOrNull(row.lease_until)
  const isOurs = row.state === "finalizing" && row.token === token
  if (!isOurs && leaseUntil !== null && leaseUntil > now) {
    return { _tag: "busy", session: toSession(row), until: leaseUntil }
  }
  const end = isOurs && leaseUntil !== null ? Math.max(leaseUntil, until) : until
  const [claimed = row] = yield* sql<Row>`
    UPDATE ${id.uploadSessions} SET state = 'finalizing', token = ${token},
      lease_until = ${instant(end)}::timestamptz, ${active(db, now)}
    WHERE ${named(db, ref)} RETURNING ${columns(db)}`
  return { _tag: "claimed", session: toSession(claimed), chunks: yield* chunksOf(db, ref) }
})

const renewClaim = (db: RegistrySql, now: number, ref: SessionRef, { token, until }: Lease) =>
  Effect.map(
    db.single`
      UPDATE ${db.id.uploadSessions}
      SET lease_until = greatest(lease_until, ${instant(until)}::timestamptz), ${active(db, now)}
      WHERE ${named(db, ref)} AND state = 'finalizing' AND token = ${token} RETURNING 1 AS renewed`,
    (rows) => rows.length > 0
  )

/** Keeps the token, so that a repetition returns what the first try did. */
const release = (db: RegistrySql, now: number, ref: SessionRef, token: string) =>
  Effect.map(
    db.single`
      UPDATE ${db.id.uploadSessions} SET state = 'open', lease_until = NULL, ${active(db, now)}
      WHERE ${named(db, ref)} AND state <> 'done' AND token = ${token} RETURNING 1 AS released`,
    (rows) => rows.length > 0
  )

const complete = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  now: number,
  ref: SessionRef,
  token: string,
  publication: Publication
): Effect.fn.Return<PublishOutcome | "lost", SqlError.SqlError> {
  const { sql, id } = db
  // An intent again: `publish` and the triggers against unannounced writers know a fresh key by it.
  const [ours] = yield* sql`
    WITH ours AS MATERIALIZED (
      SELECT id FROM ${id.uploadSessions} WHERE ${named(db, ref)} AND token = ${token} AND state = 'finalizing'
      FOR UPDATE),
    taken AS (
      DELETE FROM ${id.uploadChunks} WHERE object_key = ${publication.key} AND session_id IN (SELECT id FROM ours)
      RETURNING object_key),
    again AS (
      INSERT INTO ${id.intents} (object_key, expires_at)
      SELECT object_key, ${instant(now)}::timestamptz FROM taken)
    SELECT 1 AS there FROM ours`
  if (ours === undefined) {
    const row = yield* lock(db, ref)
    const isDone = row?.token === token && row.state === "done" && row.digest === publication.digest
    if (isDone) return yield* outcomeOf(db, type, publication)
    yield* discard(db, now, publication)
    return "lost"
  }
  const [outcome = "expired"] = yield* publish(db, type, now, [publication])
  if (outcome === "expired") return outcome
  yield* sql`
    WITH ${journaling(db, [ref.id], { now, notBefore: now, leaseUntil: null })}
    UPDATE ${id.uploadSessions} SET state = 'done', digest = ${publication.digest}, lease_until = NULL,
      hash_written_by = NULL, hash_bytes = NULL, hash_state = NULL, ${active(db, now)}
    WHERE ${named(db, ref)}`
  return outcome
})

/** Returns the outcome of a publication that an earlier try made. */
const outcomeOf = ({ sql, id, raw }: RegistrySql, type: DigestType, { digest, key }: Publication) =>
  Effect.map(
    sql`
      SELECT 1 AS there FROM ${id.blobs}
      WHERE ${id.digest} = ${digest}::text::${raw(type.type)} AND ${id.key} = ${key}`,
    (rows): PublishOutcome => (rows.length > 0 ? "published" : "deduplicated")
  )

const cancel = Effect.fnUntraced(function* (db: RegistrySql, now: number, ref: SessionRef) {
  const row = yield* lock(db, ref)
  if (row === undefined || row.state === "done") return false
  if (row.lease_until !== null && millis(row.lease_until) > now) return false
  yield* journalChunks(db, [ref.id], { now, notBefore: now, leaseUntil: null })
  yield* db.sql`DELETE FROM ${db.id.uploadSessions} WHERE ${named(db, ref)}`
  return true
})
