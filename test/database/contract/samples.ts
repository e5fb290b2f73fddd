/** Short ways to write rows down. Blob `n` has digest `digest(n)` and key `key(n)`; both sort as `n` does. */
import { Effect } from "effect"
import type { Database, Pin, Reference, Slice } from "../../../src/database/Database.ts"
import type { ChunkRow, SessionRow } from "../../../src/database/Memory.ts"
import type { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { Digest } from "../../../src/domain/Digest.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { SchemaRefused } from "../../../src/domain/SchemaRefused.ts"
import { type BlobRow, type JournalRow, type OrphanRow, Tables } from "../../support/Tables.ts"

/** Registers one promise of the contract: a sentence, and steps on a fresh catalogue that the guard has passed. */
export type Promised = (
  sentence: string,
  steps: () => Effect.Effect<void, DatabaseError | SchemaRefused, Database | Tables>
) => void

/** Arbitrary, and later than anything the samples say. */
export const now = Date.parse("2026-11-23T12:00:00.000Z")
export const minute = 60_000
export const hour = 60 * minute

export const digest = (n: number): Digest => Digest.make(`sha256:${n.toString(16).padStart(64, "0")}`)
export const key = (n: number | string): ObjectKey =>
  ObjectKey.make(`blobs/${typeof n === "number" ? String(n).padStart(6, "0") : n}`)
export const digests = (...ns: ReadonlyArray<number>): ReadonlyArray<Digest> => ns.map(digest)

/** An old blob of `n` bytes. */
export const blob = (n: number, row: Partial<BlobRow> = {}): BlobRow => ({
  digest: digest(n),
  key: key(n),
  sizeBytes: n,
  createdAt: now - 48 * hour,
  lastUsedAt: now - 24 * hour,
  ...row
})
export const blobs = (...ns: ReadonlyArray<number>): ReadonlyArray<BlobRow> => ns.map((n) => blob(n))

export const artifact = (name: string, n: number): Reference => ({
  _tag: "Artifact",
  repository: "library/app",
  name,
  digest: digest(n)
})
export const file = (path: string, n: number): Reference => ({ _tag: "LocalFile", path, digest: digest(n) })

/** The sweep that condemns in these tests. */
export const sweep = "20261123T120000.000Z-0000"

export const orphan = (
  n: number,
  seenAt: number = now - 3 * hour,
  condemnedAt: number | null = null
): OrphanRow => ({
  digest: digest(n),
  seenAt,
  condemnedAt,
  sweep: condemnedAt === null ? null : sweep
})
/** Seen three hours ago, condemned two hours ago or then. */
export const condemned = (n: number, condemnedAt: number = now - 2 * hour): OrphanRow =>
  orphan(n, now - 3 * hour, condemnedAt)

/** A purged blob's key, due an hour ago. */
export const dead = (n: number, row: Partial<JournalRow> = {}): JournalRow => ({
  key: key(n),
  digest: digest(n),
  sizeBytes: n,
  reason: "purged",
  notBefore: now - hour,
  claimedUntil: null,
  attempts: 0,
  lastError: null,
  deadAt: null,
  uploadId: null,
  ...row
})

export const intent = (n: number, expiresAt: number = now + hour) => ({
  key: key(`upload-${n}`),
  digest: digest(n),
  expiresAt,
  uploadId: null
})

export const pin = (id: string, n: number, expiresAt: number = now + hour): Pin => ({
  id,
  digest: digest(n),
  expiresAt
})

/** An upload session of library/app, open and empty; last active an hour ago. */
export const session = (id: string, row: Partial<SessionRow> = {}): SessionRow => ({
  id,
  repository: "library/app",
  algorithm: "sha256",
  state: "open",
  receivedBytes: 0,
  digest: null,
  lastActivityAt: now - hour,
  token: null,
  leaseUntil: null,
  ...row
})

/** Chunk `n` of a session, of `n` bytes: what was announced by `intent(n)`. */
export const chunk = (n: number, session: string, startByte: number): ChunkRow => ({
  session,
  startByte,
  sizeBytes: n,
  key: intent(n).key,
  digest: digest(n)
})

/** The whole catalogue as one slice. */
export const everything: Slice = { after: null, upTo: null, blobs: 0 }

export const rows = Effect.flatMap(Tables, (tables) => tables.rows)
export const write = (given: Parameters<Tables["Service"]["write"]>[0]) =>
  Effect.flatMap(Tables, (tables) => tables.write(given))
