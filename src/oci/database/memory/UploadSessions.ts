/** Upload sessions, in memory. */
import { Effect, Option } from "effect"
import type { JournalEntry, Publication, PublishOutcome } from "../../../database/Database.ts"
import { publish } from "../../../database/memory/Blobs.ts"
import { byKey, type ChunkRow, type JournalRow, journalRow } from "../../../database/memory/State.ts"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"
import type {
  AppendOutcome,
  ClaimOutcome,
  ExpiredSessions,
  ExpireRequest,
  IdleSessions,
  Lease,
  OpenSessions,
  SentChunk,
  SessionRef,
  Sessions,
  UploadSession
} from "../contract/UploadSessions.ts"
import type { RegistryState, SessionRow } from "./RegistryState.ts"

/** Returns the verbs of upload sessions over `state`. */
export const sessions = (state: RegistryState): Sessions => ({
  open: (now, { repository, id, algorithm }) =>
    Effect.sync(() => {
      if (state.sessions.has(id)) return
      state.sessions.set(id, {
        id,
        repository,
        algorithm,
        state: "open",
        receivedBytes: 0,
        digest: null,
        lastActivityAt: now,
        token: null,
        leaseUntil: null
      })
    }),
  read: (session) => Effect.sync(() => Option.map(Option.fromNullishOr(find(state, session)), toSession)),
  touch: (now, session) =>
    Effect.sync(() => {
      const row = find(state, session)
      if (row === null || row.state === "done") return false
      change(state, now, row, {})
      return true
    }),
  append: (now, session, chunk) => Effect.sync(() => append(state, now, session, chunk)),
  claim: (now, session, lease) => Effect.sync(() => claim(state, now, session, lease)),
  renewClaim: (now, session, { token, until }) =>
    Effect.sync(() => {
      const row = find(state, session)
      if (row?.state !== "finalizing" || row.token !== token) return false
      change(state, now, row, { leaseUntil: Math.max(until, row.leaseUntil ?? until) })
      return true
    }),
  release: (now, session, token) =>
    Effect.sync(() => {
      const row = find(state, session)
      if (row === null || row.state === "done" || row.token !== token) return false
      change(state, now, row, { state: "open", leaseUntil: null })
      return true
    }),
  complete: (now, session, token, publication) =>
    Effect.sync(() => complete(state, now, session, token, publication)),
  cancel: (now, session) =>
    Effect.sync(() => {
      const row = find(state, session)
      if (row === null || row.state === "done" || isLeased(row, now)) return false
      end(state, row.id, now)
      state.sessions.delete(row.id)
      return true
    }),
  expire: (request) => Effect.sync(() => expire(state, request)),
  idle: (now, idleSince) => Effect.sync(() => idle(state, now, idleSince)),
  backlog: Effect.sync(() => backlog(state))
})

const find = (state: RegistryState, { repository, id }: SessionRef): SessionRow | null => {
  const row = state.sessions.get(id)
  return row === undefined || row.repository !== repository ? null : row
}

const toSession = ({ token, leaseUntil, ...session }: SessionRow): UploadSession => session

const isLeased = (row: SessionRow, now: number): boolean =>
  row.state === "finalizing" && row.leaseUntil !== null && row.leaseUntil > now

const change = (
  state: RegistryState,
  now: number,
  row: SessionRow,
  to: Partial<SessionRow>
): UploadSession => {
  const changed = { ...row, ...to, lastActivityAt: Math.max(row.lastActivityAt, now) }
  state.sessions.set(row.id, changed)
  return toSession(changed)
}

const chunksOf = (state: RegistryState, id: string): ReadonlyArray<ChunkRow> =>
  [...state.chunks.values()].filter(({ session }) => session === id).sort((a, b) => a.startByte - b.startByte)

/** Journals a key with an intent whose bytes no session takes. */
const discard = (state: RegistryState, now: number, key: ObjectKey, sizeBytes: number): void => {
  const intent = state.intents.get(key)
  if (intent === undefined) return
  state.intents.delete(key)
  bury(state, key, journalRow(null, sizeBytes, "upload", now, { uploadId: intent.uploadId }))
}

/** Journals a key. Returns false and changes nothing if it is journaled already. */
const bury = (state: RegistryState, key: ObjectKey, row: JournalRow): boolean => {
  if (state.journal.has(key)) return false
  state.journal.set(key, row)
  return true
}

/** Journals all chunks of a session and returns those it journaled. */
const end = (
  state: RegistryState,
  id: string,
  notBefore: number,
  claimedUntil: number | null = null
): ReadonlyArray<ChunkRow> => {
  const chunks = chunksOf(state, id)
  for (const { key } of chunks) state.chunks.delete(key)
  return chunks.filter(({ key, sizeBytes }) =>
    bury(state, key, journalRow(null, sizeBytes, "upload", notBefore, { claimedUntil }))
  )
}

const append = (state: RegistryState, now: number, ref: SessionRef, chunk: SentChunk): AppendOutcome => {
  const { key, sizeBytes, startByte, digest, hash } = chunk
  const row = find(state, ref)
  const known = state.chunks.get(key)
  if (row !== null && known?.session === row.id && known.startByte === startByte) {
    return { _tag: "appended", session: toSession(row) }
  }
  if (row === null) {
    discard(state, now, key, sizeBytes)
    return { _tag: "unknown" }
  }
  if (row.state !== "open" || row.receivedBytes !== startByte) {
    discard(state, now, key, sizeBytes)
    return { _tag: "conflict", session: toSession(row) }
  }
  if (sizeBytes === 0) {
    discard(state, now, key, sizeBytes)
    return { _tag: "appended", session: change(state, now, row, {}) }
  }
  if (!state.intents.delete(key)) return { _tag: "expired" }
  state.chunks.set(key, { session: row.id, startByte, sizeBytes, key, digest })
  const grown = { receivedBytes: startByte + sizeBytes, ...(hash === undefined ? {} : { hash }) }
  return { _tag: "appended", session: change(state, now, row, grown) }
}

const claim = (state: RegistryState, now: number, ref: SessionRef, { token, until }: Lease): ClaimOutcome => {
  const row = find(state, ref)
  if (row === null) return { _tag: "unknown" }
  const session = toSession(row)
  if (row.state === "done") {
    if (row.digest === null) throw new Error(`Upload session ${row.id} is done and has no digest`)
    return { _tag: "done", session, digest: row.digest }
  }
  const isOurs = row.state === "finalizing" && row.token === token
  if (!isOurs && isLeased(row, now)) return { _tag: "busy", session, until: row.leaseUntil ?? now }
  const leaseUntil = isOurs ? Math.max(until, row.leaseUntil ?? until) : until
  return {
    _tag: "claimed",
    session: change(state, now, row, { state: "finalizing", token, leaseUntil }),
    chunks: chunksOf(state, row.id).map(({ session: _, ...chunk }) => chunk)
  }
}

const complete = (
  state: RegistryState,
  now: number,
  ref: SessionRef,
  token: string,
  publication: Publication
): PublishOutcome | "lost" => {
  const { key, digest, sizeBytes } = publication
  const row = find(state, ref)
  if (row?.state === "done" && row.token === token && row.digest === digest) {
    return state.blobs.get(digest)?.key === key ? "published" : "deduplicated"
  }
  if (row?.state !== "finalizing" || row.token !== token) {
    discard(state, now, key, sizeBytes)
    return "lost"
  }
  if (state.chunks.get(key)?.session === row.id) {
    state.chunks.delete(key)
    state.intents.set(key, { key, digest: null, expiresAt: now, uploadId: null })
  }
  const outcome = publish(state, now, publication)
  if (outcome === "expired") return outcome
  end(state, row.id, now)
  const { hash: _, ...rest } = row
  change(state, now, rest, { state: "done", digest, leaseUntil: null })
  return outcome
}

const idleRows = (state: RegistryState, now: number, idleSince: number): ReadonlyArray<SessionRow> =>
  byKey(state.sessions)
    .map(([, row]) => row)
    .filter((row) => row.lastActivityAt <= idleSince && !isLeased(row, now))
    .sort((a, b) => a.lastActivityAt - b.lastActivityAt)

const expire = (
  state: RegistryState,
  { deleteNotBefore, idleSince, leaseUntil, limit, now }: ExpireRequest
): ExpiredSessions => {
  let weight = 0
  const chosen = idleRows(state, now, idleSince).filter(({ id }, index) => {
    weight += 1 + chunksOf(state, id).length
    return index === 0 || weight <= limit
  })
  const chunks = chosen.flatMap(({ id }) => end(state, id, deleteNotBefore, leaseUntil))
  for (const { id } of chosen) state.sessions.delete(id)
  const forgotten = chosen.filter((row) => row.state === "done").length
  return {
    sessions: chosen.length - forgotten,
    forgotten,
    journaled: chunks
      .map(
        ({ key, sizeBytes }): JournalEntry => ({
          key,
          sizeBytes,
          reason: "upload",
          attempts: 0,
          uploadId: null
        })
      )
      .sort((a, b) => (a.key < b.key ? -1 : 1))
  }
}

const idle = (state: RegistryState, now: number, idleSince: number): IdleSessions => {
  const rows = idleRows(state, now, idleSince).filter((row) => row.state !== "done")
  return { sessions: rows.length, ...sums(rows.flatMap(({ id }) => chunksOf(state, id))) }
}

const sums = (chunks: ReadonlyArray<ChunkRow>): Pick<IdleSessions, "chunks" | "bytes"> => ({
  chunks: chunks.length,
  bytes: chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
})

const backlog = (state: RegistryState): OpenSessions => {
  const open = [...state.sessions.values()].filter((row) => row.state !== "done")
  return {
    sessions: open.length,
    oldestActivityAt: open.length === 0 ? null : Math.min(...open.map(({ lastActivityAt }) => lastActivityAt))
  }
}
