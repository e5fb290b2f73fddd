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
import type { SqlError } from "effect/sql"
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
  SessionState,
  Sessions,
  StagedChunk,
  UploadSession
} from "../contract/UploadSessions.ts"
import { backlog, expire, idle, journalChunks } from "./Idle.ts"
import type { RegistrySql } from "./RegistrySql.ts"

/** Returns the verbs of upload sessions. */
export const make = (db: RegistrySql, digestType: Effect.Effect<DigestType, SqlError.SqlError>): Sessions => {
  const plain = on(db)
  return verbs<Sessions>(db, "sessions", {
    open: plain(open),
    read: plain(read),
    touch: plain(touch),
    append: (...args) => db.transaction(append(db, ...args)),
    claim: (...args) => db.transaction(claim(db, ...args)),
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

interface Row {
  readonly id: string
  readonly repository: string
  readonly algorithm: Algorithm
  readonly state: SessionState
  readonly received_bytes: number
  readonly digest: string | null
  readonly token: string | null
  readonly lease_until: Date | null
  readonly last_activity_at: Date
  readonly hash_written_by: string | null
  readonly hash_bytes: number | null
  readonly hash_state: Uint8Array | null
}

const toSession = (row: Row): UploadSession => ({
  id: row.id,
  repository: row.repository,
  algorithm: row.algorithm,
  state: row.state,
  receivedBytes: row.received_bytes,
  digest: row.digest as Digest | null,
  lastActivityAt: millis(row.last_activity_at),
  ...savedHash(row)
})

const savedHash = ({ hash_bytes: bytes, hash_state: state, hash_written_by: writtenBy }: Row) =>
  bytes === null || state === null || writtenBy === null
    ? {}
    : { hash: { writtenBy, bytes, state: new Uint8Array(state) } }

const columns = ({ sql }: RegistrySql) => sql`
  id, repository, algorithm, state, received_bytes::float8 AS received_bytes, digest, token, lease_until,
  last_activity_at, hash_written_by, hash_bytes::float8 AS hash_bytes, hash_state`

const named = ({ sql }: RegistrySql, { repository, id }: SessionRef) =>
  sql`id = ${id} AND repository = ${repository}`

/** Records activity. Clocks of replicas differ, so the instant never moves back. */
const active = ({ sql }: RegistrySql, now: number) =>
  sql`last_activity_at = greatest(last_activity_at, ${instant(now)}::timestamptz)`

const open = ({ sql, id }: RegistrySql, now: number, ref: SessionRef & { readonly algorithm: Algorithm }) =>
  Effect.asVoid(sql`
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
    db.sql`
      UPDATE ${db.id.uploadSessions} SET ${active(db, now)}
      WHERE ${named(db, ref)} AND state <> 'done' RETURNING 1 AS touched`,
    (rows) => rows.length > 0
  )

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
    const grown = yield* add(db, now, ref, chunk)
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

/** Turns an intent into the last chunk of a session. Returns undefined if the intent no longer exists. */
const add = (
  db: RegistrySql,
  now: number,
  ref: SessionRef,
  { digest, hash, key, sizeBytes, startByte }: SentChunk
) => {
  const { sql, id } = db
  // One statement adds the chunk and replaces the hash, so that no crash can part them.
  const hashed =
    hash === undefined
      ? sql``
      : sql`, hash_written_by = ${hash.writtenBy}, hash_bytes = ${BigInt(hash.bytes)}::bigint,
          hash_state = ${Buffer.from(hash.state)}::bytea`
  return Effect.map(
    sql<Row>`
      WITH taken AS (
        DELETE FROM ${id.intents} WHERE object_key = ${key} RETURNING object_key),
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

const chunksOf = ({ sql, id }: RegistrySql, ref: SessionRef) =>
  Effect.map(
    sql<{ start_byte: number; size_bytes: number; object_key: string; digest: string }>`
      SELECT start_byte::float8 AS start_byte, size_bytes::float8 AS size_bytes, object_key, digest
      FROM ${id.uploadChunks} WHERE session_id = ${ref.id} ORDER BY upload_chunks.start_byte`,
    (rows): ReadonlyArray<StagedChunk> =>
      rows.map((row) => ({
        startByte: row.start_byte,
        sizeBytes: row.size_bytes,
        key: row.object_key as ObjectKey,
        digest: row.digest as Digest
      }))
  )

const renewClaim = (db: RegistrySql, now: number, ref: SessionRef, { token, until }: Lease) =>
  Effect.map(
    db.sql`
      UPDATE ${db.id.uploadSessions}
      SET lease_until = greatest(lease_until, ${instant(until)}::timestamptz), ${active(db, now)}
      WHERE ${named(db, ref)} AND state = 'finalizing' AND token = ${token} RETURNING 1 AS renewed`,
    (rows) => rows.length > 0
  )

/** Keeps the token, so that a repetition returns what the first try did. */
const release = (db: RegistrySql, now: number, ref: SessionRef, token: string) =>
  Effect.map(
    db.sql`
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
  const row = yield* lock(db, ref)
  const isOurs = row?.token === token
  if (isOurs && row.state === "done" && row.digest === publication.digest) {
    return yield* outcomeOf(db, type, publication)
  }
  if (!isOurs || row.state !== "finalizing") {
    yield* discard(db, now, publication)
    return "lost"
  }
  // An intent again: `publish` and the triggers against unannounced writers know a fresh key by it.
  yield* sql`
    WITH taken AS (
      DELETE FROM ${id.uploadChunks} WHERE object_key = ${publication.key} AND session_id = ${ref.id}
      RETURNING object_key)
    INSERT INTO ${id.intents} (object_key, expires_at)
    SELECT object_key, ${instant(now)}::timestamptz FROM taken`
  const [outcome = "expired"] = yield* publish(db, type, now, [publication])
  if (outcome === "expired") return outcome
  yield* journalChunks(db, [ref.id], { now, notBefore: now, leaseUntil: null })
  yield* sql`
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
