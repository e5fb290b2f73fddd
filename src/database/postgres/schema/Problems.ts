/** What the schema guard holds against a catalogue, each with what puts it right. Pure: Guard has read everything. */
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
import { qualified, quote } from "../Sql.ts"
import { latestMigration } from "./Migrations.ts"

/** The catalogue's table, and where and as whom we look at it. */
export interface Table {
  readonly oid: string
  /** Our role, quoted. */
  readonly role: string
  readonly standby: boolean
  readonly rows_hidden: boolean
  /** Other tables inherit from it (partitions aside). */
  readonly inherited: boolean
}

export interface Column {
  readonly name: string
  readonly type: string
  /** ` COLLATE …`, or nothing. */
  readonly collate: string
  readonly not_null: boolean
  readonly unique: boolean
  /** Of the whole table. */
  readonly partitioned: boolean
}

/** A foreign key to blobs. Of one that spans several columns, the first. */
export interface ForeignKey {
  readonly constraint: string
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly referenced_column: string
  readonly columns: number
  /** All columns, quoted. */
  readonly column_list: string
  readonly referenced_list: string
  /** What follows the action on delete in its declaration. */
  readonly options: string
  readonly delete_action: string
  /** A partition has it from its parent. */
  readonly inherited: boolean
  readonly partitioned: boolean
  readonly same_collation: boolean
  /** Type of the column with the collation of the column it refers to. */
  readonly wanted_type: string
  readonly enforced: boolean
  readonly triggers_disabled: boolean
  readonly indexed: boolean
  readonly rows_hidden: boolean
  readonly reachable: boolean
  readonly readable: boolean
}

/** A table that the collector works on. */
export interface Access {
  readonly schema: string
  readonly table: string
  readonly present: boolean
  /** The role may use its schema. */
  readonly reachable: boolean
  /** Privileges that the role lacks, by comma. */
  readonly missing: string | null
}

const blobsOf = (names: CatalogNames): string => qualified(names.schema, names.blobsTable)

export const tableProblems = (names: CatalogNames, found: Table): ReadonlyArray<SchemaProblem> => {
  const table = `${names.schema}.${names.blobsTable}`
  const problems: Array<SchemaProblem> = []
  if (found.standby) {
    problems.push({
      kind: "ReadOnly",
      table,
      problem: "the server is a standby; it may not know the newest references",
      fix: "Point DATABASE_URL at the primary."
    })
  }
  if (found.rows_hidden) {
    problems.push({
      kind: "HiddenRows",
      table,
      problem: "row-level security hides blobs from this role, so that what they own would look abandoned",
      fix: `ALTER ROLE ${found.role} BYPASSRLS;`
    })
  }
  if (found.inherited) {
    problems.push({
      kind: "KeyNotUnique",
      table,
      problem: "tables inherit from it, and no unique index or foreign key covers their rows",
      fix: `ALTER TABLE the_inheriting_table NO INHERIT ${blobsOf(names)};`
    })
  }
  return problems
}

/** `version` is the newest migration applied, null where that could not be read. */
export const accessProblems = (
  names: CatalogNames,
  role: string,
  tables: ReadonlyArray<Access>,
  version: number | null
): ReadonlyArray<SchemaProblem> => {
  const own = names.collectorSchema
  const problems: Array<SchemaProblem> = []
  const migrate = (table: string, problem: string, fix = "Run: artifact-gc migrate") =>
    problems.push({ kind: "MissingCollectorTables", table: `${own}.${table}`, problem, fix })
  if (tables.some(({ schema, table, present }) => schema === own && table === "migrations" && !present)) {
    migrate("migrations", "the collector's tables are not installed")
  } else if (version !== null && version < latestMigration) {
    migrate("migrations", `they are at version ${version}, this program needs ${latestMigration}`)
  } else if (version !== null && version > latestMigration) {
    migrate(
      "migrations",
      `they are at version ${version}, newer than this program's ${latestMigration}`,
      "Run the newer artifact-gc."
    )
  } else {
    for (const { table } of tables.filter((access) => !access.present)) {
      migrate(table, "it is gone", "Restore it from a backup: artifact-gc migrate does not make it twice.")
    }
  }
  return [...problems, ...missingPrivileges(role, tables)]
}

/** Returns the privileges that the role lacks on tables that exist. */
export const missingPrivileges = (
  role: string,
  tables: ReadonlyArray<Access>
): ReadonlyArray<SchemaProblem> =>
  tables
    .filter(({ present }) => present)
    .flatMap(({ schema, table, reachable, missing }) =>
      privilegeProblems(role, schema, table, reachable, missing)
    )

const privilegeProblems = (
  role: string,
  schema: string,
  table: string,
  reachable: boolean,
  missing: string | null
): ReadonlyArray<SchemaProblem> => {
  const problem = (lacks: string, fix: string): SchemaProblem => ({
    kind: "MissingPrivilege",
    table: `${schema}.${table}`,
    problem: `this role lacks ${lacks}`,
    fix: `GRANT ${fix} TO ${role};`
  })
  return [
    ...(reachable ? [] : [problem("USAGE of its schema", `USAGE ON SCHEMA ${quote(schema)}`)]),
    ...(missing === null ? [] : [problem(missing, `${missing} ON ${qualified(schema, table)}`)])
  ]
}

const timestamps = new Set(["timestamp with time zone", "timestamp without time zone"])
const isTimestamp = (type: string) => timestamps.has(type.replace(/\(\d\)/, ""))
const isText = (type: string) => type === "text" || type.startsWith("character varying")
const isWhole = (type: string) => ["bigint", "integer"].includes(type) || type.startsWith("numeric")

export const columnProblems = (
  names: CatalogNames,
  columns: ReadonlyArray<Column>
): ReadonlyArray<SchemaProblem> => {
  const table = `${names.schema}.${names.blobsTable}`
  const target = blobsOf(names)
  const problems: Array<SchemaProblem> = []
  const need = (
    name: string,
    setting: string,
    accepts: (type: string) => boolean,
    wanted: string,
    nullable = false
  ) => {
    const column = columns.find((c) => c.name === name)
    if (column === undefined) {
      const fix = `Set ${setting} to the column's name.`
      problems.push({ kind: "MissingColumn", table, problem: `there is no column ${name}`, fix })
      return
    }
    if (!accepts(column.type)) {
      const fix = `Set ${setting} to a column of that type.`
      problems.push({
        kind: "WrongType",
        table,
        problem: `column ${name} is ${column.type}, not ${wanted}`,
        fix
      })
    }
    if (!nullable && !column.not_null) {
      const fix = `ALTER TABLE ${target} ALTER COLUMN ${quote(name)} SET NOT NULL;`
      problems.push({ kind: "WrongType", table, problem: `column ${name} allows NULL`, fix })
    }
  }
  const unique = (name: string, why: string) => {
    const column = columns.find((c) => c.name === name)
    if (column === undefined || column.unique) return
    const fix = column.partitioned
      ? "A unique index on a partitioned table has to contain what it is partitioned by, so digest and key cannot both be unique: keep the blobs in one table, and partition the tables that refer to it."
      : `CREATE UNIQUE INDEX CONCURRENTLY ON ${target} (${quote(name)});`
    problems.push({ kind: "KeyNotUnique", table, problem: `column ${name} is not unique: ${why}`, fix })
  }
  need(names.digestColumn, "CATALOG_DIGEST_COLUMN", () => true, "any type")
  need(names.keyColumn, "CATALOG_KEY_COLUMN", isText, "text")
  need(names.sizeColumn, "CATALOG_SIZE_COLUMN", isWhole, "a whole number", true)
  need(names.createdAtColumn, "CATALOG_CREATED_AT_COLUMN", isTimestamp, "a timestamp")
  if (names.lastUsedAtColumn !== null) {
    need(names.lastUsedAtColumn, "CATALOG_LAST_USED_AT_COLUMN", isTimestamp, "a timestamp", true)
  }
  unique(names.digestColumn, "a digest must name one blob")
  unique(names.keyColumn, "two blobs could own one object, and purging one would delete the other's bytes")
  return problems
}

export const keyProblems = (
  names: CatalogNames,
  role: string,
  keys: ReadonlyArray<ForeignKey>
): ReadonlyArray<SchemaProblem> =>
  keys.length > 0
    ? keys.flatMap((key) => (key.inherited ? enforcement(names, key) : judge(names, role, key)))
    : [
        {
          kind: "NoReferences",
          table: `${names.schema}.${names.blobsTable}`,
          problem: "no table has a foreign key to it, so every blob would look like garbage",
          fix: `ALTER TABLE your_references ADD FOREIGN KEY (digest) REFERENCES ${blobsOf(names)};`
        }
      ]

const about = (
  key: ForeignKey,
  kind: SchemaProblem["kind"],
  problem: string,
  fix: string
): SchemaProblem => ({
  kind,
  table: `${key.schema}.${key.table}`,
  constraint: key.constraint,
  problem,
  fix
})

const enforcement = (names: CatalogNames, key: ForeignKey): ReadonlyArray<SchemaProblem> => {
  const target = qualified(key.schema, key.table)
  if (!key.enforced) {
    const fix = `ALTER TABLE ${target} ALTER CONSTRAINT ${quote(key.constraint)} ENFORCED;`
    return [about(key, "UnenforcedForeignKey", "it is NOT ENFORCED", fix)]
  }
  if (!key.triggers_disabled) return []
  const fix = `ALTER TABLE ${target} ENABLE TRIGGER ALL; ALTER TABLE ${blobsOf(names)} ENABLE TRIGGER ALL;`
  return [about(key, "UnenforcedForeignKey", "its triggers are disabled", fix)]
}

const deleteActions: Readonly<Record<string, string>> = { c: "CASCADE", n: "SET NULL", d: "SET DEFAULT" }

const judge = (names: CatalogNames, role: string, key: ForeignKey): ReadonlyArray<SchemaProblem> => {
  const target = qualified(key.schema, key.table)
  const referenced = `${blobsOf(names)} (${key.referenced_list})`
  const constraint = quote(key.constraint)
  const problems: Array<SchemaProblem> = []
  const add = (kind: SchemaProblem["kind"], problem: string, fix: string) =>
    problems.push(about(key, kind, problem, fix))
  if (key.columns > 1) {
    add(
      "UnsupportedForeignKey",
      `it spans ${key.columns} columns`,
      `Reference ${blobsOf(names)} by one column.`
    )
  }
  const action = deleteActions[key.delete_action]
  if (action !== undefined) {
    add(
      "DestructiveForeignKey",
      `ON DELETE ${action} would destroy references when a blob is purged`,
      `ALTER TABLE ${target} DROP CONSTRAINT ${constraint}, ADD CONSTRAINT ${constraint} FOREIGN KEY (${key.column_list}) REFERENCES ${referenced}${key.options};`
    )
  }
  problems.push(...enforcement(names, key))
  if (!key.same_collation) {
    add(
      "UnsupportedForeignKey",
      `column ${key.column} sorts under another collation than the column it refers to`,
      `ALTER TABLE ${target} ALTER COLUMN ${quote(key.column)} TYPE ${key.wanted_type};`
    )
  }
  if (!key.indexed) {
    // PostgreSQL refuses CONCURRENTLY for a partitioned table.
    const concurrently = key.partitioned ? "" : " CONCURRENTLY"
    add(
      "MissingIndex",
      `column ${key.column} has no index, so each purge would scan the table`,
      `CREATE INDEX${concurrently} ON ${target} (${quote(key.column)});`
    )
  }
  if (key.rows_hidden) {
    add("HiddenRows", "row-level security hides references from this role", `ALTER ROLE ${role} BYPASSRLS;`)
  }
  const missing = key.readable ? null : "SELECT"
  for (const problem of privilegeProblems(role, key.schema, key.table, key.reachable, missing)) {
    problems.push({ ...problem, constraint: key.constraint })
  }
  return problems
}
