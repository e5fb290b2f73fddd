/** The registry's connection: the core's, and the names of the registry's tables. */
import type { Statement } from "effect/sql"
import { type Identifiers, qualified, type Sql } from "../../../database/postgres/Sql.ts"

/** The core's connection, with the registry's tables among its identifiers. */
export interface RegistrySql extends Sql {
  readonly id: Identifiers & {
    /** In the collector's schema: chunks, which the core owns, have a foreign key to it. */
    readonly uploadSessions: Statement.Fragment
    readonly manifests: Statement.Fragment
    readonly manifestReferences: Statement.Fragment
    readonly tags: Statement.Fragment
    readonly keys: Statement.Fragment
    /** What retention rules remember: one row at most. */
    readonly retention: Statement.Fragment
    /** What the rules last made of each repository. */
    readonly retentionRepositories: Statement.Fragment
  }
}

/** Adds the registry's tables to a connection. */
export const registrySql = (db: Sql): RegistrySql => {
  const { names, raw } = db
  const registry = (table: string) => raw(qualified(names.registrySchema, table))
  return {
    ...db,
    id: {
      ...db.id,
      uploadSessions: raw(qualified(names.collectorSchema, "upload_sessions")),
      manifests: registry("manifests"),
      manifestReferences: registry("manifest_references"),
      tags: registry("tags"),
      keys: registry("keys"),
      retention: registry("retention"),
      retentionRepositories: registry("retention_repositories")
    }
  }
}
