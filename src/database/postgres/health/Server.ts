/** What is read of the server, the role and the connection. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { MissingRight, Pooling, ServerHealth } from "../../contract/Health.ts"
import { serverProcess } from "../Connections.ts"
import { directCommit } from "../Reader.ts"
import { qualified, quote, type Sql } from "../Sql.ts"
import { latestMigration } from "../schema/MigrationList.ts"
import { readPrivileges, readVersion } from "../schema/Privileges.ts"

/** The settings that checks look at. */
const looked = [
  "autovacuum",
  "default_transaction_read_only",
  "fsync",
  "full_page_writes",
  "idle_in_transaction_session_timeout",
  "lock_timeout",
  "max_locks_per_transaction",
  "statement_timeout",
  "synchronous_commit",
  "track_counts",
  "transaction_timeout"
]

interface Row {
  readonly version: string
  readonly version_number: number
  readonly standby: boolean
  readonly role: string
  readonly superuser: boolean
  readonly database: string
  readonly remote: boolean
  readonly tls: string | null
  readonly connections: number
  readonly connections_max: number
  readonly role_connections_max: number | null
}

/** Returns the server, the role and the connection. In a transaction: connections that only read begin with other settings. */
export const server = (db: Sql) => db.transaction(Effect.suspend(() => readServer(db)))

const readServer = Effect.fnUntraced(function* (db: Sql) {
  const { sql } = db
  const [row] = yield* sql<Row>`
    SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS version_number,
      pg_is_in_recovery() AS standby, quote_ident(current_user) AS role, r.rolsuper AS superuser,
      quote_ident(d.datname) AS database, inet_server_addr() IS NOT NULL AND inet_server_addr() <> inet_client_addr() AS remote,
      (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl) AS tls,
      (SELECT count(*)::int FROM pg_stat_activity a WHERE a.backend_type = 'client backend') AS connections,
      current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS connections_max,
      CASE WHEN r.rolsuper THEN NULL ELSE least(nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1)) END
        AS role_connections_max
    FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`
  const settings = yield* sql<{ name: string; value: string; source: string }>`
    SELECT name, reset_val AS value, source FROM pg_settings WHERE name = ANY (${looked}::text[])`
  if (row === undefined) return yield* Effect.die(new Error("The server returned no row of itself"))
  return {
    version: row.version,
    versionNumber: row.version_number,
    isStandby: row.standby,
    role: row.role,
    isSuperuser: row.superuser,
    database: row.database,
    isRemote: row.remote,
    tls: row.tls,
    connections: row.connections,
    connectionsMax: row.connections_max,
    roleConnectionsMax: row.role_connections_max,
    settings: Object.fromEntries(settings.map(({ name, source, value }) => [name, { value, source }])),
    schemaVersion: (yield* readVersion(db)) || null,
    schemaVersionWanted: latestMigration
  } satisfies ServerHealth
})

/**
 * Returns who answers. A server tells each connection its process. A pooler tells a number of its own. One that shares
 * connections by transaction gives two clients the same process, one after the other.
 */
export const pooling = (client: SqlClient.SqlClient) =>
  Effect.scoped(
    Effect.gen(function* () {
      if ((yield* directCommit(client)) !== null) return "direct" as Pooling
      const [one, other] = yield* Effect.all([client.reserve, client.reserve])
      const processOf = (connection: typeof one) =>
        Effect.map(
          connection.executeUnprepared(`SELECT ${serverProcess} AS process`, [], undefined),
          ([found]) => (found as { readonly process?: unknown } | undefined)?.process
        )
      return (yield* processOf(one)) === (yield* processOf(other)) ? "transaction" : ("session" as Pooling)
    })
  )

/** Returns the rights that sweeps do not need. */
export const rights = Effect.fnUntraced(function* (db: Sql) {
  const { names, sql } = db
  const [found] = yield* sql<{ role: string; database: string; creates: boolean; serves: boolean }>`
    SELECT quote_ident(current_user) AS role, quote_ident(current_database()) AS database,
      has_database_privilege(current_database(), 'CREATE') AS creates,
      EXISTS (SELECT FROM pg_namespace WHERE nspname = ${names.registrySchema}) AS serves`
  if (found === undefined) return []
  const { creates, database, role, serves } = found
  const wanted = yield* readPrivileges(db, [
    [names.schema, names.blobsTable, "INSERT"],
    [names.collectorSchema, "upload_sessions", "INSERT"],
    [names.collectorSchema, "upload_chunks", "INSERT, UPDATE"],
    ...(serves
      ? ([
          [names.registrySchema, "manifests", "INSERT"],
          [names.registrySchema, "manifest_references", "INSERT"],
          [names.registrySchema, "tags", "INSERT, UPDATE"]
        ] as const)
      : [])
  ])
  const ofWriters = wanted
    .filter(({ missing, present }) => present && missing !== null)
    .map(
      ({ missing, schema, table }): MissingRight => ({
        neededBy: serves ? "serve, and writers of the blob store" : "writers of the blob store",
        what: `${missing} on ${schema}.${table}`,
        fix: `GRANT ${missing} ON ${qualified(schema, table)} TO ${role};`
      })
    )
  const ofMigrate: ReadonlyArray<MissingRight> = creates
    ? []
    : [
        {
          neededBy: "migrate",
          what: `CREATE on database ${database}`,
          fix: `GRANT CREATE ON DATABASE ${database} TO ${quote("the role of migrate")};`
        }
      ]
  return [...ofWriters, ...ofMigrate]
})
