/**
 * The tables behind a `Database`, as plain data: what tests arrange and what they compare. The same on every backend,
 * so that one suite can hold all of them to the same rows.
 */
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { JournalReason, Pin, Reference } from "../../src/database/Database.ts"
import {
  type ChunkRow,
  type IntentRow,
  type ManifestRow,
  manifestId,
  referenceId,
  type SessionRow,
  type State,
  type TagRow
} from "../../src/database/Memory.ts"
import { unwatchReferences, watchReferences } from "../../src/database/Postgres.ts"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import type { Digest } from "../../src/domain/Digest.ts"
import type { ObjectKey } from "../../src/domain/ObjectKey.ts"

export interface BlobRow {
  readonly digest: Digest
  readonly key: ObjectKey
  readonly sizeBytes: number
  readonly createdAt: number
  readonly lastUsedAt: number
}

export interface OrphanRow {
  readonly digest: Digest
  readonly seenAt: number
  readonly condemnedAt: number | null
  readonly sweep: string | null
}

export interface JournalRow {
  readonly key: ObjectKey
  readonly digest: Digest | null
  readonly sizeBytes: number
  readonly reason: JournalReason
  readonly notBefore: number
  readonly claimedUntil: number | null
  readonly attempts: number
  readonly lastError: string | null
  readonly deadAt: number | null
  readonly uploadId: string | null
}

/** Every row, sorted by primary key. Instants are milliseconds since the epoch. */
export interface Rows {
  readonly blobs: ReadonlyArray<BlobRow>
  readonly references: ReadonlyArray<Reference>
  readonly orphans: ReadonlyArray<OrphanRow>
  readonly journal: ReadonlyArray<JournalRow>
  readonly intents: ReadonlyArray<IntentRow>
  readonly pins: ReadonlyArray<Pin>
  /** Upload sessions. */
  readonly sessions: ReadonlyArray<SessionRow>
  readonly chunks: ReadonlyArray<ChunkRow>
  /** Of the registry. References sorted by digest and kind. */
  readonly manifests: ReadonlyArray<ManifestRow>
  readonly tags: ReadonlyArray<TagRow>
  /** Keys in doubt. */
  readonly suspects: ReadonlyArray<{ readonly digest: Digest; readonly key: ObjectKey }>
  /** The queue of blobs that may have lost what kept them, sorted by digest. */
  readonly candidates: ReadonlyArray<Digest>
  readonly scan: { readonly pass: number; readonly position: Digest | null }
}

export class Tables extends Context.Service<
  Tables,
  {
    readonly rows: Effect.Effect<Rows>
    /** Adds rows as a program that knows nothing of us would, and overwrites none. */
    readonly write: (rows: Partial<Omit<Rows, "scan" | "candidates">>) => Effect.Effect<void>
    /** References are watched from now on, and nothing is in the queue; `Database.inspect` has to be asked again. */
    readonly watch: Effect.Effect<void>
    /** The opposite. */
    readonly unwatch: Effect.Effect<void>
    /** As a new catalogue. */
    readonly clear: Effect.Effect<void>
  }
>()("artifact-gc/test/Tables") {}

const sorted = <A>(items: Iterable<A>, by: (item: A) => string): ReadonlyArray<A> =>
  [...items].sort((a, b) => (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : 0))

const idOf = ({ repository, digest }: ManifestRow): string => manifestId(repository, digest)
const tagId = ({ repository, name }: TagRow): string => manifestId(repository, name)
const referencesSorted = (row: ManifestRow): ManifestRow => ({
  ...row,
  references: sorted(row.references, ({ digest, kind }) => `${digest} ${kind}`)
})

/** The tables of a memory backend. */
export const inMemory = (state: State): Layer.Layer<Tables> =>
  Layer.succeed(
    Tables,
    Tables.of({
      rows: Effect.sync(() => ({
        blobs: sorted(
          [...state.blobs].map(([digest, row]) => ({ digest, ...row })),
          (row) => row.digest
        ),
        references: sorted(state.references.values(), referenceId),
        orphans: sorted(
          [...state.orphans].map(([digest, row]) => ({ digest, ...row })),
          (row) => row.digest
        ),
        journal: sorted(
          [...state.journal].map(([key, row]) => ({ key, ...row })),
          (row) => row.key
        ),
        intents: sorted(state.intents.values(), (row) => row.key),
        pins: sorted(state.pins.values(), (row) => row.id),
        sessions: sorted(state.sessions.values(), (row) => row.id),
        chunks: sorted(state.chunks.values(), (row) => row.key),
        manifests: sorted(state.manifests.values(), idOf).map(referencesSorted),
        tags: sorted(state.tags.values(), tagId),
        suspects: sorted(
          [...state.suspects].flatMap(([digest, keys]) => [...keys].map((key) => ({ digest, key }))),
          ({ digest, key }) => `${digest} ${key}`
        ),
        candidates: sorted(state.candidates, (digest) => digest),
        scan: { pass: state.scan.pass, position: state.scan.position }
      })),
      write: ({
        blobs = [],
        references = [],
        orphans = [],
        journal = [],
        intents = [],
        pins = [],
        sessions = [],
        chunks = [],
        manifests = [],
        tags = [],
        suspects = []
      }) =>
        Effect.sync(() => {
          for (const { digest, ...row } of blobs) state.blobs.set(digest, row)
          for (const reference of references) state.references.set(referenceId(reference), reference)
          for (const { digest, ...row } of orphans) state.orphans.set(digest, row)
          for (const { key, ...row } of journal) state.journal.set(key, row)
          for (const intent of intents) state.intents.set(intent.key, intent)
          for (const pin of pins) state.pins.set(pin.id, pin)
          for (const session of sessions) state.sessions.set(session.id, session)
          for (const chunk of chunks) state.chunks.set(chunk.key, chunk)
          for (const row of manifests) state.manifests.set(manifestId(row.repository, row.digest), row)
          for (const row of tags) state.tags.set(manifestId(row.repository, row.name), row)
          for (const { digest, key } of suspects)
            state.suspects.set(digest, new Set([...(state.suspects.get(digest) ?? []), key]))
        }),
      watch: Effect.sync(() => {
        // What was lost before is in no queue.
        if (!state.watched) state.scan.wanted += 1
        state.watched = true
        state.candidates.length = 0
      }),
      unwatch: Effect.sync(() => {
        state.watched = false
        state.candidates.length = 0
      }),
      clear: Effect.sync(() => {
        for (const table of [
          ...[state.blobs, state.references, state.orphans, state.journal, state.intents],
          ...[state.pins, state.breakers, state.collectors, state.suspects],
          ...[state.sessions, state.chunks, state.manifests, state.tags]
        ])
          table.clear()
        state.listing = null
        state.scan.pass = 1
        state.scan.position = null
        state.scan.startedAt = null
        state.scan.wanted = 1
        state.scan.done = 0
        state.watched = false
        state.candidates.length = 0
      })
    })
  )

/** As JSON, so that one statement reads all tables in one snapshot. */
const readAll = `
  SELECT json_build_object(
    'blobs', (SELECT coalesce(json_agg(json_build_object('digest', digest, 'key', object_key, 'sizeBytes', size_bytes,
      'createdAt', ms(created_at), 'lastUsedAt', ms(last_used_at))), '[]') FROM public.blobs),
    'artifacts', (SELECT coalesce(json_agg(json_build_object('_tag', 'Artifact', 'repository', repository,
      'name', name, 'digest', digest)), '[]') FROM public.artifacts),
    'files', (SELECT coalesce(json_agg(json_build_object('_tag', 'LocalFile', 'path', path,
      'digest', digest)), '[]') FROM public.local_files),
    'orphans', (SELECT coalesce(json_agg(json_build_object('digest', digest, 'seenAt', ms(seen_at),
      'condemnedAt', ms(condemned_at), 'sweep', sweep)), '[]') FROM artifact_gc.orphans),
    'journal', (SELECT coalesce(json_agg(json_build_object('key', object_key, 'digest', digest,
      'sizeBytes', size_bytes, 'reason', reason, 'notBefore', ms(not_before), 'claimedUntil', ms(claimed_until),
      'attempts', attempts, 'lastError', last_error, 'deadAt', ms(dead_at),
      'uploadId', upload_id)), '[]') FROM artifact_gc.journal),
    'intents', (SELECT coalesce(json_agg(json_build_object('key', object_key, 'digest', digest,
      'expiresAt', ms(expires_at), 'uploadId', upload_id)), '[]') FROM artifact_gc.intents),
    'pins', (SELECT coalesce(json_agg(json_build_object('id', id, 'digest', digest,
      'expiresAt', ms(expires_at))), '[]') FROM artifact_gc.pins),
    'sessions', (SELECT coalesce(json_agg(json_build_object('id', id, 'repository', repository,
      'algorithm', algorithm, 'state', state, 'receivedBytes', received_bytes, 'digest', digest,
      'lastActivityAt', ms(last_activity_at), 'token', token, 'leaseUntil', ms(lease_until))), '[]')
      FROM artifact_gc.upload_sessions),
    'chunks', (SELECT coalesce(json_agg(json_build_object('session', session_id, 'startByte', start_byte,
      'sizeBytes', size_bytes, 'key', object_key, 'digest', digest)), '[]') FROM artifact_gc.upload_chunks),
    'manifests', (SELECT coalesce(json_agg(json_build_object('repository', repository, 'digest', digest,
      'mediaType', media_type, 'sizeBytes', size_bytes, 'artifactType', artifact_type, 'annotations', annotations,
      'subject', subject, 'untaggedAt', ms(untagged_at), 'references', (
        SELECT coalesce(json_agg(json_build_object('digest', r.digest, 'kind', r.kind)), '[]')
        FROM artifact_registry.manifest_references r WHERE r.repository = m.repository AND r.manifest = m.digest))), '[]')
      FROM artifact_registry.manifests m),
    'tags', (SELECT coalesce(json_agg(json_build_object('repository', repository, 'name', name, 'digest', digest)), '[]')
      FROM artifact_registry.tags),
    'suspects', (SELECT coalesce(json_agg(json_build_object('digest', digest, 'key', object_key)), '[]')
      FROM artifact_gc.suspects),
    'candidates', (SELECT coalesce(json_agg(digest), '[]') FROM artifact_gc.candidates),
    'scan', (SELECT json_build_object('pass', pass, 'position', position)
      FROM artifact_gc.scans WHERE name = 'orphans')) AS rows`.replaceAll(
  /ms\((\w+)\)/g,
  "(extract(epoch FROM $1) * 1000)::float8"
)

interface Json extends Omit<Rows, "references"> {
  readonly artifacts: ReadonlyArray<Reference>
  readonly files: ReadonlyArray<Reference>
}

/** DELETE, not TRUNCATE: a new file for each table costs four times as much as a few dead rows. */
const empty = `DO $$ DECLARE watching regprocedure; BEGIN
  FOR watching IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'artifact_gc'::regnamespace
    AND starts_with(p.proname, 'watch_') LOOP
    EXECUTE 'DROP FUNCTION ' || watching || ' CASCADE';
  END LOOP;
  DELETE FROM artifact_registry.tags; DELETE FROM artifact_registry.manifest_references;
  DELETE FROM artifact_registry.manifests;
  DELETE FROM public.artifacts; DELETE FROM public.local_files; DELETE FROM public.blobs;
  DELETE FROM artifact_gc.orphans; DELETE FROM artifact_gc.journal; DELETE FROM artifact_gc.intents;
  DELETE FROM artifact_gc.pins; DELETE FROM artifact_gc.breakers;
  DELETE FROM artifact_gc.listing_ranges; DELETE FROM artifact_gc.listings;
  DELETE FROM artifact_gc.collectors; DELETE FROM artifact_gc.tombstones; DELETE FROM artifact_gc.buried_keys;
  DELETE FROM artifact_gc.suspects; DELETE FROM artifact_gc.upload_chunks; DELETE FROM artifact_gc.upload_sessions;
  DELETE FROM artifact_gc.candidates; UPDATE artifact_gc.scans SET pass = 1, position = NULL, started_at = NULL, wanted = 1, done = 0;
END $$`

/** The tables of a PostgreSQL backend under their default names. Statements run on the process's clock. */
export const inPostgres: Layer.Layer<Tables, never, SqlClient.SqlClient> = Layer.effect(
  Tables,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const insert = (statement: string, rows: ReadonlyArray<object>) =>
      rows.length === 0 ? Effect.void : sql.unsafe(statement, [JSON.stringify(rows)])
    const write = ({
      blobs = [],
      references = [],
      orphans = [],
      journal = [],
      intents = [],
      pins = [],
      sessions = [],
      chunks = [],
      manifests = [],
      tags = [],
      suspects = []
    }: Partial<Rows>) =>
      Effect.all([
        insert(
          `INSERT INTO public.blobs (digest, object_key, size_bytes, created_at, last_used_at)
           SELECT r->>'digest', r->>'key', (r->>'sizeBytes')::bigint, ${at("createdAt")}, ${at("lastUsedAt")} FROM ${all}`,
          blobs
        ),
        insert(
          `INSERT INTO public.artifacts (repository, name, digest, created_at)
           SELECT r->>'repository', r->>'name', r->>'digest', to_timestamp(0) FROM ${all}`,
          references.filter((reference) => reference._tag === "Artifact")
        ),
        insert(
          `INSERT INTO public.local_files (path, digest, created_at)
           SELECT r->>'path', r->>'digest', to_timestamp(0) FROM ${all}`,
          references.filter((reference) => reference._tag === "LocalFile")
        ),
        insert(
          `INSERT INTO artifact_gc.orphans (digest, seen_at, condemned_at, sweep)
           SELECT r->>'digest', ${at("seenAt")}, ${at("condemnedAt")}, r->>'sweep' FROM ${all}`,
          orphans
        ),
        insert(
          `INSERT INTO artifact_gc.journal (object_key, digest, size_bytes, reason, journaled_at, not_before,
             claimed_until, attempts, last_error, dead_at, upload_id)
           SELECT r->>'key', r->>'digest', (r->>'sizeBytes')::bigint, r->>'reason', to_timestamp(0),
             ${at("notBefore")}, ${at("claimedUntil")}, (r->>'attempts')::int, r->>'lastError', ${at("deadAt")},
             r->>'uploadId' FROM ${all}`,
          journal
        ),
        insert(
          `INSERT INTO artifact_gc.intents (object_key, digest, expires_at, upload_id)
           SELECT r->>'key', r->>'digest', ${at("expiresAt")}, r->>'uploadId' FROM ${all}`,
          intents
        ),
        insert(
          `INSERT INTO artifact_gc.pins (id, digest, expires_at)
           SELECT r->>'id', r->>'digest', ${at("expiresAt")} FROM ${all}`,
          pins
        ),
        insert(
          `INSERT INTO artifact_gc.upload_sessions (id, repository, algorithm, state, received_bytes, digest, token,
             lease_until, last_activity_at)
           SELECT r->>'id', r->>'repository', r->>'algorithm', r->>'state', (r->>'receivedBytes')::bigint, r->>'digest',
             r->>'token', ${at("leaseUntil")}, ${at("lastActivityAt")} FROM ${all}`,
          sessions
        ),
        insert(
          `INSERT INTO artifact_gc.upload_chunks (object_key, session_id, start_byte, size_bytes, digest)
           SELECT r->>'key', r->>'session', (r->>'startByte')::bigint, (r->>'sizeBytes')::bigint, r->>'digest' FROM ${all}`,
          chunks
        ),
        insert(
          `INSERT INTO artifact_registry.manifests (repository, digest, media_type, size_bytes, artifact_type,
             annotations, subject, untagged_at)
           SELECT r->>'repository', r->>'digest', r->>'mediaType', (r->>'sizeBytes')::bigint, r->>'artifactType',
             nullif(r->>'annotations', 'null')::json, r->>'subject', ${at("untaggedAt")} FROM ${all}`,
          manifests
        ),
        insert(
          `INSERT INTO artifact_registry.manifest_references (repository, manifest, digest, kind)
           SELECT r->>'repository', r->>'digest', o->>'digest', o->>'kind'
           FROM ${all}, json_array_elements(r->'references') o`,
          manifests
        ),
        insert(
          `INSERT INTO artifact_registry.tags (repository, name, digest)
           SELECT r->>'repository', r->>'name', r->>'digest' FROM ${all}`,
          tags
        ),
        insert(
          `INSERT INTO artifact_gc.suspects (digest, object_key, since)
           SELECT r->>'digest', r->>'key', to_timestamp(0) FROM ${all}`,
          suspects
        )
      ])
    return Tables.of({
      rows: sql.unsafe<{ rows: Json }>(readAll).pipe(
        Effect.map(([row]) => toRows(row?.rows)),
        Effect.orDie,
        onProcessClock
      ),
      write: (rows) => sql.withTransaction(write(rows)).pipe(Effect.asVoid, Effect.orDie, onProcessClock),
      watch: watchReferences(defaultNames).pipe(
        Effect.andThen(sql`DELETE FROM artifact_gc.candidates`),
        Effect.asVoid,
        Effect.orDie,
        Effect.provideService(SqlClient.SqlClient, sql),
        onProcessClock
      ),
      unwatch: unwatchReferences(defaultNames).pipe(
        Effect.asVoid,
        Effect.orDie,
        Effect.provideService(SqlClient.SqlClient, sql),
        onProcessClock
      ),
      clear: sql.unsafe(empty).pipe(Effect.asVoid, Effect.orDie, onProcessClock)
    })
  })
)

const all = "json_array_elements($1::text::json) r"
const at = (field: string): string =>
  `timestamptz 'epoch' + (r->>'${field}')::float8 * interval '1 millisecond'`

const toRows = (json: Json | undefined): Rows => {
  if (json === undefined) throw new Error("the statement answered no row")
  const { artifacts, files, blobs, orphans, journal, intents, pins, sessions, chunks, suspects, scan } = json
  const { candidates, manifests, tags } = json
  return {
    blobs: sorted(blobs, (row) => row.digest),
    references: sorted([...artifacts, ...files], referenceId),
    orphans: sorted(orphans, (row) => row.digest),
    journal: sorted(journal, (row) => row.key),
    intents: sorted(intents, (row) => row.key),
    pins: sorted(pins, (row) => row.id),
    sessions: sorted(sessions, (row) => row.id),
    chunks: sorted(chunks, (row) => row.key),
    manifests: sorted(manifests, idOf).map(referencesSorted),
    tags: sorted(tags, tagId),
    suspects: sorted(suspects, ({ digest, key }) => `${digest} ${key}`),
    candidates: sorted(candidates, (digest) => digest),
    scan
  }
}
