/** What the schema guard asks of the registry's tables, where they are installed. */
import { Effect } from "effect"
import {
  absentTableProblems,
  privilegeProblems,
  readPrivileges
} from "../../../database/postgres/schema/Privileges.ts"
import type { SchemaExtension } from "../../../database/postgres/schema/SchemaGuard.ts"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
import { isInstalled, readRegistryVersion, registryMigrations, versionProblem } from "./RegistryTables.ts"

/**
 * Judges the version of the registry's tables and the role's privileges on them. A manifest's `subject` names a
 * manifest that need not exist, and annotations may contain any digest: neither keeps a blob.
 */
export const registrySchema: SchemaExtension = {
  tables: ({ registrySchema }) =>
    ["manifests", "manifest_references", "tags", registryMigrations].map(
      (table) => [registrySchema, table] as const
    ),
  problems: Effect.fnUntraced(function* (db, role) {
    if (!(yield* isInstalled(db))) return []
    const own = db.names.registrySchema
    const tables = yield* readPrivileges(db, [
      [own, registryMigrations, "SELECT"],
      [own, "manifests", "SELECT, UPDATE, DELETE"],
      [own, "manifest_references", "SELECT, DELETE"],
      [own, "tags", "SELECT, DELETE"]
    ])
    const [versions] = tables
    const isReadable = versions?.reachable === true && versions.missing === null
    const wrong = isReadable ? versionProblem(yield* readRegistryVersion(db)) : null
    const ofVersion: ReadonlyArray<SchemaProblem> =
      wrong === null
        ? []
        : [{ kind: "MissingCollectorTables", table: `${own}.${registryMigrations}`, ...wrong }]
    return [...ofVersion, ...absentTableProblems(tables), ...privilegeProblems(role, tables)]
  })
}
