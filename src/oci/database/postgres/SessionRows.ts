/** Rows of upload sessions and of their chunks, and the parts of statements that name them. */
import { Effect } from "effect"
import { instant, millis } from "../../../database/postgres/Sql.ts"
import type { Algorithm, Digest } from "../../../domain/Digest.ts"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"
import type { SessionRef, SessionState, StagedChunk, UploadSession } from "../contract/UploadSessions.ts"
import type { RegistrySql } from "./RegistrySql.ts"

/** A row of a session. */
export interface Row {
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

/** Returns the session of a row. */
export const toSession = (row: Row): UploadSession => ({
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

/** The columns of {@link Row}. */
export const columns = ({ sql }: RegistrySql) => sql`
  id, repository, algorithm, state, received_bytes::float8 AS received_bytes, digest, token, lease_until,
  last_activity_at, hash_written_by, hash_bytes::float8 AS hash_bytes, hash_state`

/** The condition that a row is that of the session. */
export const named = ({ sql }: RegistrySql, { repository, id }: SessionRef) =>
  sql`id = ${id} AND repository = ${repository}`

/** Records activity. Clocks of replicas differ, so the instant never moves back. */
export const active = ({ sql }: RegistrySql, now: number) =>
  sql`last_activity_at = greatest(last_activity_at, ${instant(now)}::timestamptz)`

/** The columns of a chunk, or NULL where there is none. */
export interface ChunkRow {
  readonly start_byte: number | null
  readonly size_bytes: number | null
  readonly object_key: string | null
  readonly chunk_digest: string | null
}

/** Returns the chunk of a row, or none. */
export const toChunk = (row: Partial<ChunkRow>): ReadonlyArray<StagedChunk> => {
  const { chunk_digest: digest, object_key: key, size_bytes: sizeBytes, start_byte: startByte } = row
  if (key == null || digest == null || sizeBytes == null || startByte == null) return []
  return [{ startByte, sizeBytes, key: key as ObjectKey, digest: digest as Digest }]
}

/** Returns the chunks of a session in order. */
export const chunksOf = ({ sql, id }: RegistrySql, ref: SessionRef) =>
  Effect.map(
    sql<ChunkRow>`
      SELECT start_byte::float8 AS start_byte, size_bytes::float8 AS size_bytes, object_key, digest AS chunk_digest
      FROM ${id.uploadChunks} WHERE session_id = ${ref.id} ORDER BY upload_chunks.start_byte`,
    (rows) => rows.flatMap(toChunk)
  )
