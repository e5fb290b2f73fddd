/** Checks of the tables that scans read: vacuum, what holds it back, indexes and collations. */
import { Clock, Duration, Effect } from "effect"
import {
  DatabaseHealth,
  type HorizonHealth,
  type IndexHealth,
  type TableHealth
} from "../database/Database.ts"
import type { Check } from "./Check.ts"
import { type Found, ok } from "./Finding.ts"

/** Smaller tables are read in milliseconds, whatever their state. */
const pagesMin = 1000
const rowsMin = 10_000

/** More dead rows than autovacuum leaves by default: a fifth of the table. */
const deadShareMax = 0.4

/** A scan of keys reads the table itself for each page that is not marked as visible to all. */
const visibleShareMin = 0.5

/** PostgreSQL refuses new transactions at two thousand million, and warns 40 million before. */
const ageMax = 1_000_000_000

const percent = (part: number, whole: number): string => `${Math.round((100 * part) / Math.max(1, whole))} %`

const dated = (at: number | null): string => (at === null ? "never" : new Date(at).toISOString())

/** Returns what is wrong with a table. */
export const foundOfTable = (table: TableHealth): ReadonlyArray<Found> => {
  const { changedRows, deadRows, liveRows, pages, rows, vacuumedAt, visiblePages } = table
  const found: Array<Found> = []
  const add = (title: string, seen: string, fix: string, severity: Found["severity"] = "warning") =>
    found.push({ severity, title: `${table.table}: ${title}`, seen, fix })
  const vacuumed = `Last vacuum: ${dated(vacuumedAt)}.`
  if (!table.isAutovacuumed) {
    add(
      "autovacuum is off for this table",
      `${deadRows} dead rows of ${liveRows + deadRows}. Every sweep leaves more. ${vacuumed}`,
      `ALTER TABLE ${table.table} RESET (autovacuum_enabled);`
    )
  }
  if (table.age > ageMax) {
    add(
      "its oldest rows are not frozen",
      `${table.age} transactions since then. PostgreSQL stops accepting writes at about 2,000 million.`,
      `VACUUM (FREEZE) ${table.table};`,
      "problem"
    )
  }
  if (deadRows > rowsMin && deadRows > deadShareMax * (liveRows + deadRows)) {
    add(
      "many dead rows",
      `${deadRows} dead rows of ${liveRows + deadRows} (${percent(deadRows, liveRows + deadRows)}). Scans read them. ${vacuumed}`,
      `VACUUM (ANALYZE) ${table.table};`
    )
  } else if (pages > pagesMin && visiblePages < visibleShareMin * pages) {
    add(
      "the visibility map is incomplete",
      `${visiblePages} of ${pages} pages (${percent(visiblePages, pages)}) are marked as visible to all. Scans of its indexes read the other pages, too. ${vacuumed}`,
      `VACUUM (ANALYZE) ${table.table};`
    )
  }
  if ((rows === null && liveRows > rowsMin) || (changedRows > rowsMin && changedRows > liveRows)) {
    add(
      "its statistics are old",
      `${changedRows} rows changed since the last ANALYZE, of ${liveRows}. Estimates of breakers and plans rest on them.`,
      `ANALYZE ${table.table};`
    )
  }
  return found
}

const tables = Effect.flatMap(DatabaseHealth, (health) => health.tables)

const vacuum: Check<DatabaseHealth> = {
  name: "vacuum",
  about:
    "Dead rows, the visibility map, statistics and autovacuum of the tables that scans read, and rows that are not frozen.",
  docs: "docs/scale.md",
  run: Effect.gen(function* () {
    const { settings } = yield* (yield* DatabaseHealth).server
    const all = yield* tables
    const off = ["autovacuum", "track_counts"].filter((name) => settings[name]?.value === "off")
    const found: ReadonlyArray<Found> = [
      ...off.map(
        (name): Found => ({
          severity: "warning",
          title: `${name} is off on this server`,
          seen: "Dead rows of sweeps are never removed by themselves, and scans become slower with each sweep.",
          fix: `ALTER SYSTEM SET ${name} = on; SELECT pg_reload_conf();`
        })
      ),
      ...all.flatMap(foundOfTable)
    ]
    return found.length > 0 ? found : [ok("Tables are vacuumed", `${all.length} tables were looked at.`)]
  })
}

/** Longer than any transaction of a registry or an app should take. */
const longest = Duration.hours(1)

/** A slot that nothing reads keeps dead rows, and write-ahead log besides. */
const slotAgeMax = 1_000_000

const words: Readonly<
  Record<
    HorizonHealth["kind"],
    { readonly what: (name: string) => string; readonly fix: (name: string) => string }
  >
> = {
  session: {
    what: (name) => `The transaction of process ${name}`,
    fix: (name) => `SELECT pg_terminate_backend(${name});    -- after a look at pg_stat_activity`
  },
  prepared: {
    what: (name) => `The prepared transaction ${name}`,
    fix: (name) => `ROLLBACK PREPARED '${name.replaceAll("'", "''")}';    -- or COMMIT PREPARED`
  },
  slot: {
    what: (name) => `The replication slot ${name}`,
    fix: (name) =>
      `SELECT pg_drop_replication_slot('${name.replaceAll("'", "''")}');    -- if its standby is gone`
  }
}

/** Returns what keeps vacuum from removing dead rows at `now`. */
export const foundOfHorizon = (all: ReadonlyArray<HorizonHealth>, now: number): ReadonlyArray<Found> =>
  all
    .filter(({ age, since }) =>
      since === null ? age > slotAgeMax : now - since > Duration.toMillis(longest)
    )
    .map(({ age, kind, name, since }) => ({
      severity: "warning",
      title: `${words[kind].what(name)} keeps dead rows`,
      seen: `${since === null ? "" : `Open since ${dated(since)}. `}Vacuum removes no row that died in the last ${age} transactions, in any table.`,
      fix: words[kind].fix(name)
    }))

const horizon: Check<DatabaseHealth> = {
  name: "horizon",
  about:
    "Long transactions, prepared transactions and replication slots, which keep vacuum from removing rows.",
  docs: "docs/scale.md",
  run: Effect.gen(function* () {
    const all = yield* (yield* DatabaseHealth).horizon
    const found = foundOfHorizon(all, yield* Clock.currentTimeMillis)
    return found.length > 0 ? found : [ok("Nothing holds vacuum back")]
  })
}

const ofIndex: Readonly<Record<IndexHealth["kind"], (index: IndexHealth) => Found>> = {
  invalid: ({ name, table }) => ({
    severity: "warning",
    title: `${table}: the index ${name} is not valid`,
    seen: "A CREATE INDEX CONCURRENTLY failed. Writers maintain it, and no query uses it.",
    fix: `REINDEX INDEX CONCURRENTLY ${name};`
  }),
  hash: ({ column, table }) => ({
    severity: "warning",
    title: `${table}: column ${column} has only a hash index`,
    seen: "It serves the check of a single purge. A scan reads references in order, which needs a btree.",
    fix: `CREATE INDEX CONCURRENTLY ON ${table} (${column});`
  }),
  unvalidated: ({ name, table }) => ({
    severity: "note",
    title: `${table}: the foreign key ${name} was never validated`,
    seen: "It protects blobs. Rows that were older than the key may refer to blobs that do not exist.",
    fix: `ALTER TABLE ${table} VALIDATE CONSTRAINT ${name};`
  })
}

const indexes: Check<DatabaseHealth> = {
  name: "indexes",
  about:
    "Invalid indexes, hash indexes on columns that refer to blobs, and foreign keys that were never validated.",
  docs: "docs/operations.md#when-a-guard-refuses",
  run: Effect.flatMap(DatabaseHealth, (health) =>
    Effect.map(health.indexes, (all) =>
      all.length === 0 ? [ok("Indexes are whole")] : all.map((index): Found => ofIndex[index.kind](index))
    )
  )
}

const collations: Check<DatabaseHealth> = {
  name: "collations",
  about:
    "Collations of indexed columns whose library has changed: a search in such an index may miss a reference.",
  docs: "docs/doctor.md#collations",
  run: Effect.flatMap(DatabaseHealth, (health) =>
    Effect.map(
      health.collations,
      (changed): ReadonlyArray<Found> =>
        changed.length === 0
          ? [ok("Collations are those of the indexes")]
          : changed.map(({ actual, collation, columns, recorded }) => ({
              severity: "problem",
              title: `The library of the collation ${collation} has changed`,
              seen: `Indexes were built with version ${recorded}, and the library is ${actual}. A search may miss rows, so a purge may miss a reference. Columns: ${columns.join(", ")}.`,
              fix: `${tablesOf(columns)
                .map((table) => `REINDEX TABLE CONCURRENTLY ${table};`)
                .join(" ")} ${
                collation === "default"
                  ? "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I REFRESH COLLATION VERSION', current_database()); END $$;"
                  : `ALTER COLLATION ${collation} REFRESH VERSION;`
              }`
            }))
    )
  )
}

/** Returns the tables of columns, quoted as they are. */
const tablesOf = (columns: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(columns.map((column) => column.replace(/\.("(?:[^"]|"")*"|[^."]*)$/, "")))
]

/** The checks of tables. */
export const tableChecks: ReadonlyArray<Check<DatabaseHealth>> = [vacuum, horizon, indexes, collations]
