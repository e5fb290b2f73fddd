/**
 * What the schema guard reads of the registry's tables, where they are installed, and the problems it finds
 * there.
 */
import { Effect } from "effect"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
import {
  isInstalled,
  readRegistryVersion,
  registryMigrations,
  versionProblem
} from "../../../oci/database/postgres/RegistryTables.ts"
import type { Sql } from "../Sql.ts"
import { absentTableProblems, privilegeProblems, readPrivileges } from "./Privileges.ts"

/** Returns the problems of the registry's tables. Returns none where they were never installed. */
export const readRegistryProblems = Effect.fnUntraced(function* (db: Sql, role: string) {
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
