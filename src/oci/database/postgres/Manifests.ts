/**
 * The registry's catalogue: how manifests, their references and tags are stored and deleted.
 * ReadManifests.ts reads them, ExpireManifests.ts expires them.
 *
 * Locks are taken in one order, within each kind by name: blobs, tags, manifests, then rows that are new. A
 * transaction that changes a manifest, its tags, an index of it or its subject holds the rows of that
 * manifest, of its children and of its subject until its end. So whether a manifest is needed cannot change
 * while its row is locked. A transaction that holds locks and finds a new row that it should have locked
 * earlier begins anew, because waiting now could be a deadlock.
 */
import { Effect } from "effect"
import * as SqlError from "effect/sql/SqlError"
import { lockLive } from "../../../database/postgres/Blobs.ts"
import { sqlState, translate } from "../../../database/postgres/Errors.ts"
import { unpin } from "../../../database/postgres/Pins.ts"
import { instant } from "../../../database/postgres/Sql.ts"
import type { DigestType } from "../../../database/postgres/schema/DigestType.ts"
import { given, on, verbs } from "../../../database/postgres/Verbs.ts"
import { DatabaseError } from "../../../domain/DatabaseError.ts"
import type { Digest } from "../../../domain/Digest.ts"
import type {
  DeleteManifest,
  DeleteOptions,
  Manifest,
  ManifestReference,
  Manifests,
  PutManifest
} from "../contract/Manifests.ts"
import {
  expire,
  expirePage,
  exposure,
  noExposure,
  noteReleased,
  redate,
  untagged
} from "./ExpireManifests.ts"
import {
  attachedTags,
  dependents,
  lockManifests,
  lockTags,
  release,
  remove,
  removeTags,
  rowsOf
} from "./ManifestRows.ts"
import * as Reading from "./ReadManifests.ts"
import type { RegistrySql } from "./RegistrySql.ts"
import { isInstalled, notInstalled } from "./RegistryTables.ts"

/** Returns the verbs of manifests and tags. */
export const make = (
  inner: RegistrySql,
  digestType: Effect.Effect<DigestType, SqlError.SqlError>
): Manifests => {
  const db = tellingWhatIsMissing(inner)
  const plain = on(db)
  const typed = given(db, digestType)
  const locked = <Args extends ReadonlyArray<unknown>, A, E>(
    run: (db: RegistrySql, type: DigestType, ...args: Args) => Effect.Effect<A, E>
  ) => typed((_, type, ...args: Args) => db.transaction(run(db, type, ...args)))
  const ifInstalled = <A, E>(none: A, count: Effect.Effect<A, E>) =>
    Effect.flatMap(isInstalled(db), (installed) => (installed ? count : Effect.succeed(none)))
  return {
    ...verbs<Omit<Manifests, "expire">>(db, "manifests", {
      probe: Reading.probe(db),
      put: locked(put),
      find: typed(Reading.find),
      touch: typed(touch),
      untag: locked(untag),
      delete: locked(deleteManifest),
      tags: plain(Reading.tags),
      repositories: plain(Reading.repositories),
      withoutTags: plain(Reading.withoutTags),
      referrers: typed(Reading.referrers),
      listing: typed(Reading.listing),
      blob: typed(Reading.blob),
      having: typed(Reading.having),
      redate: (...args) => ifInstalled([], redate(db, ...args)),
      untagged: (untaggedSince) => ifInstalled(0, untagged(db, untaggedSince)),
      exposure: (...args) => ifInstalled(noExposure, exposure(db, ...args))
    }),
    // Each page is a transaction that is retried by itself, so that a retry repeats no count.
    expire: Effect.fnUntraced(function* (now, untaggedSince, limit, options = {}) {
      if (!(yield* db.verb("manifests.installed", isInstalled(db)))) return 0
      const page = locked(expirePage)
      const noteReleased_ = typed(noteReleased)
      return yield* expire(
        limit,
        (after, size) => db.verb("manifests.expire", page(now, untaggedSince, after, size, options)),
        // Advisory: the breaker of orphans counts those that are not noted.
        (released) => Effect.ignore(db.verb("manifests.noteReleased", noteReleased_(now, released)))
      )
    })
  }
}

/** If the registry's tables are missing, the error says what to run. */
const tellingWhatIsMissing = (db: RegistrySql): RegistrySql => ({
  ...db,
  verb: (operation, effect) =>
    db.verb(
      operation,
      Effect.mapError(effect, (error) => {
        if (!SqlError.isSqlError(error) || sqlState(error) !== "42P01") return error
        const { detail } = translate(operation, error)
        return detail.includes(`"${db.names.registrySchema}.`)
          ? notInstalled(operation, detail, error)
          : error
      })
    )
})

const put = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  now: number,
  manifest: Manifest,
  references: ReadonlyArray<ManifestReference>,
  { tags = [], release: pins = [] }: Parameters<Manifests["put"]>[3] = {}
) {
  const { repository, digest, subject } = manifest
  const needed = [digest, ...references.map((reference) => reference.digest)]
  const children = references.filter(({ kind }) => kind === "manifest").map((child) => child.digest)
  const live = yield* lockLive(db, type, now, [...new Set(needed)])
  const before = yield* lockTags(db, repository, tags)
  const there = yield* lockManifests(db, type, repository, [
    ...[digest, ...children, ...before.values()],
    ...(subject === null ? [] : [subject])
  ])
  const unfit = new Set(children.filter((child) => !there.has(child)))
  const missing = [...new Set(needed)].filter((one) => !live.has(one) || unfit.has(one))
  if (missing.length > 0) return { _tag: "missing", digests: missing } satisfies PutManifest
  yield* writeManifest(db, type, now, manifest, there.has(digest), tags.length > 0)
  yield* writeTags(db, type, now, manifest, tags, before)
  yield* writeReferences(db, type, manifest, references)
  const losers = new Set([...before.values()].filter((loser) => loser !== digest))
  yield* release(
    db,
    type,
    now,
    [...losers].map((loser) => ({ repository, digest: loser })),
    "moved"
  )
  yield* unpin(db, pins)
  return { _tag: "stored" } satisfies PutManifest
})

/** Writes the manifest's row. A row that `isThere` is locked, so its tags cannot change. */
const writeManifest = Effect.fnUntraced(function* (
  { sql, id, raw }: RegistrySql,
  type: DigestType,
  now: number,
  { annotations, artifactType, digest, mediaType, repository, sizeBytes, subject }: Manifest,
  isThere: boolean,
  isTagged: boolean
) {
  const cast = raw(type.type)
  const own = sql`${digest}::text::${cast}`
  const untaggedAt = isTagged
    ? raw("NULL")
    : sql`CASE WHEN NOT EXISTS (SELECT FROM ${id.tags} WHERE repository = ${repository} AND digest = ${own})
        THEN ${instant(now)}::timestamptz END`
  const otherwise = isThere
    ? raw(`UPDATE SET media_type = EXCLUDED.media_type, size_bytes = EXCLUDED.size_bytes,
        artifact_type = EXCLUDED.artifact_type, annotations = EXCLUDED.annotations, subject = EXCLUDED.subject,
        untagged_at = EXCLUDED.untagged_at,
        untagged_by = CASE WHEN EXCLUDED.untagged_at IS NOT NULL THEN m.untagged_by END`)
    : raw("NOTHING")
  const written = yield* sql`
    INSERT INTO ${id.manifests} AS m (repository, digest, media_type, size_bytes, artifact_type, annotations, subject,
      untagged_at, untagged_by, pushed_at)
    VALUES (${repository}, ${own}, ${mediaType}, ${BigInt(sizeBytes)}::bigint, ${artifactType}::text,
      ${annotations === null ? null : JSON.stringify(annotations)}::text::json, ${subject}::text::${cast}, ${untaggedAt},
      ${isTagged ? null : "never"}::text, ${instant(now)}::timestamptz)
    ON CONFLICT (repository, digest) DO ${otherwise} RETURNING 1 AS written`
  if (written.length === 0)
    return yield* beginAnew("manifests.put", `made manifest ${digest} of ${repository}`)
})

/**
 * Moves tags to the manifest and dates them. `before` are the tags that existed; they are locked. A moved tag always gets another
 * date, because a trigger takes the date away that a program without dates leaves.
 */
const writeTags = Effect.fnUntraced(function* (
  { sql, id, raw }: RegistrySql,
  type: DigestType,
  now: number,
  { repository, digest }: Manifest,
  tags: ReadonlyArray<string>,
  before: ReadonlyMap<string, Digest>
) {
  const own = sql`${digest}::text::${raw(type.type)}`
  const known = [...before.keys()]
  if (known.length > 0) {
    yield* sql`
      UPDATE ${id.tags} SET digest = ${own}, pushed_at = greatest(${instant(now)}::timestamptz,
        pushed_at + CASE WHEN digest = ${own} THEN interval '0' ELSE interval '1 millisecond' END)
      WHERE repository = ${repository} AND name = ANY(${known}::text[])`
  }
  const fresh = [...new Set(tags)].filter((name) => !before.has(name))
  if (fresh.length === 0) return
  const made = yield* sql`
    INSERT INTO ${id.tags} (repository, name, digest, pushed_at)
    SELECT ${repository}, n, ${own}, ${instant(now)}::timestamptz FROM unnest(${fresh}::text[]) n
    ORDER BY n COLLATE "C" ON CONFLICT DO NOTHING RETURNING 1 AS made`
  if (made.length < fresh.length) return yield* beginAnew("manifests.put", `made a tag of ${repository}`)
})

/** Returns the error that rolls back and has the verb retried. */
const beginAnew = (operation: string, what: string) =>
  new DatabaseError({ operation, reason: "Contended", detail: `another client ${what} at the same time` })

const writeReferences = Effect.fnUntraced(function* (
  { sql, id, raw }: RegistrySql,
  type: DigestType,
  { repository, digest }: Manifest,
  references: ReadonlyArray<ManifestReference>
) {
  const own = sql`${digest}::text::${raw(type.type)}`
  const wanted = sql`
    SELECT DISTINCT d::${raw(type.type)} AS digest, kind FROM unnest(
      ${references.map((one) => one.digest)}::text[], ${references.map((one) => one.kind)}::text[]) AS t (d, kind)`
  yield* sql`
    DELETE FROM ${id.manifestReferences} WHERE repository = ${repository} AND manifest = ${own}
      AND (digest, kind) NOT IN (${wanted})`
  yield* sql`
    INSERT INTO ${id.manifestReferences} (repository, manifest, digest, kind)
    SELECT ${repository}, ${own}, w.digest, w.kind FROM (${wanted}) w ON CONFLICT DO NOTHING`
})

/** Returns whether the manifest exists. The update waits for a deletion in flight, and then finds no row. */
const touch = (
  { sql, id, raw }: RegistrySql,
  type: DigestType,
  now: number,
  repository: string,
  digest: Digest
) =>
  Effect.map(
    sql`
      UPDATE ${id.manifests}
      SET untagged_at = CASE WHEN untagged_at IS NOT NULL THEN greatest(untagged_at, ${instant(now)}::timestamptz) END
      WHERE repository = ${repository} AND digest = ${digest}::text::${raw(type.type)} RETURNING 1 AS there`,
    (rows) => rows.length > 0
  )

const untag = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  now: number,
  repository: string,
  tag: string
) {
  const { sql, id } = db
  const digest = (yield* lockTags(db, repository, [tag])).get(tag)
  if (digest === undefined) return false
  yield* lockManifests(db, type, repository, [digest])
  yield* sql`DELETE FROM ${id.tags} WHERE repository = ${repository} AND name = ${tag}`
  yield* release(db, type, now, [{ repository, digest }], "deleted")
  return true
})

const deleteManifest = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  now: number,
  repository: string,
  digest: Digest,
  { withReferrers = false }: DeleteOptions = {}
) {
  const { sql, id, raw } = db
  const own = sql`${digest}::text::${raw(type.type)}`
  const attached = withReferrers ? attachedTags(db, type, [{ repository, digest }]) : Effect.succeed([])
  const concerned = sql<{ digest: string }>`
    SELECT d.digest::text AS digest FROM (${dependents(db, rowsOf(db, type, [{ repository, digest }]))}) d`
  const tagged = sql<{ name: string }>`
    SELECT name FROM ${id.tags} WHERE repository = ${repository} AND digest = ${own}`
  const names = [...(yield* tagged), ...(yield* attached)].map((tag) => tag.name)
  const before = yield* lockTags(db, repository, names)
  const there = yield* lockManifests(db, type, repository, [
    digest,
    ...before.values(),
    ...(yield* concerned).map((one) => one.digest as Digest)
  ])
  if (!there.has(digest)) return "unknown" satisfies DeleteManifest
  const listed = yield* sql`
    SELECT FROM ${id.manifestReferences}
    WHERE repository = ${repository} AND digest = ${own} AND kind = 'manifest' LIMIT 1`
  if (listed.length > 0) return "listed" satisfies DeleteManifest
  // No more are added while the manifest is locked.
  const about = yield* attached
  const isComplete =
    about.every((tag) => before.get(tag.name) === tag.digest) &&
    (yield* tagged).every((tag) => before.has(tag.name)) &&
    (yield* concerned).every((one) => there.has(one.digest as Digest))
  if (!isComplete) return yield* beginAnew("manifests.delete", `pushed to ${repository}`)
  yield* removeTags(db, type, now, about, "deleted")
  yield* remove(db, type, now, [{ repository, digest }], "deleted")
  return "deleted" satisfies DeleteManifest
})
