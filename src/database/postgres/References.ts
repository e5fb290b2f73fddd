/**
 * References in the catalogue that `migrate` creates. Rows are locked in the order of their names, so
 * writers cannot deadlock.
 */
import { Effect } from "effect"
import type { Reference } from "../Database.ts"
import { instant, lastOf, qualified, type Sql } from "./Sql.ts"

/** Adds references. The last of several with one name wins, as if they were added one by one. */
export const refer = (db: Sql, now: number, references: ReadonlyArray<Reference>) => {
  const { sql, names, raw, asHost } = db
  const at = instant(now)
  const table = (name: string) => raw(qualified(names.schema, name))
  const artifacts = lastOf(references.filter(isArtifact), (r) => JSON.stringify([r.repository, r.name]))
  const files = lastOf(references.filter(isLocalFile), (r) => r.path)
  return Effect.gen(function* () {
    if (artifacts.length > 0) {
      yield* db.firing(sql`
        INSERT INTO ${table("artifacts")} (repository, name, digest, created_at)
        SELECT r, n, d, ${at}::timestamptz FROM unnest(${artifacts.map((a) => a.repository)}::text[],
          ${artifacts.map((a) => a.name)}::text[], ${artifacts.map((a) => a.digest)}::text[]) AS t (r, n, d)
        WHERE ${asHost} ORDER BY r, n
        ON CONFLICT (repository, name) DO UPDATE SET digest = EXCLUDED.digest, created_at = EXCLUDED.created_at`)
    }
    if (files.length > 0) {
      yield* db.firing(sql`
        INSERT INTO ${table("local_files")} (path, digest, created_at)
        SELECT p, d, ${at}::timestamptz FROM unnest(${files.map((f) => f.path)}::text[],
          ${files.map((f) => f.digest)}::text[]) AS t (p, d)
        WHERE ${asHost} ORDER BY p
        ON CONFLICT (path) DO UPDATE SET digest = EXCLUDED.digest, created_at = EXCLUDED.created_at`)
    }
  })
}

type Artifact = Extract<Reference, { _tag: "Artifact" }>
type LocalFile = Extract<Reference, { _tag: "LocalFile" }>
const isArtifact = (reference: Reference): reference is Artifact => reference._tag === "Artifact"
const isLocalFile = (reference: Reference): reference is LocalFile => reference._tag === "LocalFile"

/** Removes references, in the order in which `refer` locks their rows. Returns how many existed. */
export const unreference = (db: Sql, references: ReadonlyArray<Reference>) => {
  const { sql, names, raw, asHost } = db
  const table = (name: string) => raw(qualified(names.schema, name))
  const artifacts = references.filter(isArtifact)
  const files = references.filter(isLocalFile)
  return db.transaction(
    Effect.gen(function* () {
      const fromArtifacts = yield* db.firing(sql`
        DELETE FROM ${table("artifacts")} WHERE (repository, name) IN (
          SELECT a.repository, a.name FROM ${table("artifacts")} a
          JOIN unnest(${artifacts.map((r) => r.repository)}::text[], ${artifacts.map((r) => r.name)}::text[],
            ${artifacts.map((r) => r.digest)}::text[]) AS t (r, n, d)
            ON a.repository = t.r AND a.name = t.n AND a.digest = t.d
          ORDER BY 1, 2 FOR UPDATE OF a) AND ${asHost}
        RETURNING 1 AS gone`)
      const fromFiles = yield* db.firing(sql`
        DELETE FROM ${table("local_files")} WHERE path IN (
          SELECT f.path FROM ${table("local_files")} f
          JOIN unnest(${files.map((r) => r.path)}::text[], ${files.map((r) => r.digest)}::text[]) AS t (p, d)
            ON f.path = t.p AND f.digest = t.d
          ORDER BY 1 FOR UPDATE OF f) AND ${asHost}
        RETURNING 1 AS gone`)
      return fromArtifacts.length + fromFiles.length
    })
  )
}
