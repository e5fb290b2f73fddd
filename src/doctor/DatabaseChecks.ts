/** Checks of the server, the role and the connection. They need no table of the collector. */
import { Duration, Effect } from "effect"
import type { Configuration } from "../config/Config.ts"
import { DatabaseHealth, type ServerHealth } from "../database/Database.ts"
import type { Check, Group } from "./Check.ts"
import { type Found, ok } from "./Finding.ts"
import { tableChecks } from "./TableChecks.ts"

/** The oldest major version that the program works on. */
const oldest = 150_000

/** Returns the checks of the database. */
export const databaseGroup = (configuration: Configuration): Group<DatabaseHealth> => ({
  name: "database",
  gate: connection,
  checks: [durability, role, pooler, connections(configuration), encryption, rights, ...tableChecks]
})

const health = Effect.flatMap(DatabaseHealth, ({ server }) => server)

const connection: Check<DatabaseHealth> = {
  name: "connection",
  about: "The database answers, its version is supported, and it is no standby.",
  docs: "docs/operations.md#first-run-on-your-own-catalogue",
  run: Effect.map(health, (server) => [
    ok(
      `PostgreSQL ${server.version} answers`,
      `Role ${server.role}, database ${server.database}. Migration ${server.schemaVersion ?? "none"} is applied; this program's newest is ${server.schemaVersionWanted}.`
    ),
    ...versionOf(server),
    ...(server.isStandby ? [standby] : []),
    ...(server.isSuperuser ? [superuser] : [])
  ])
}

const versionOf = ({ version, versionNumber }: ServerHealth): ReadonlyArray<Found> =>
  versionNumber >= oldest
    ? []
    : [
        {
          severity: "problem",
          title: "This version of PostgreSQL is not supported",
          seen: `The server is ${version}. Versions from 15 on are tested.`,
          fix: "pg_upgrade    # to PostgreSQL 15 or newer"
        }
      ]

const standby: Found = {
  severity: "problem",
  title: "The server is a standby",
  seen: "pg_is_in_recovery() is true. It may lack the newest references, and nothing can be written.",
  fix: "DATABASE_URL=postgres://user:password@primary:5432/database"
}

const superuser: Found = {
  severity: "note",
  title: "The role is a superuser",
  seen: "A collector needs far less, and a superuser passes row-level security and every grant.",
  fix: "CREATE ROLE gc LOGIN;    -- then the grants of the page below",
  docs: "docs/operations.md#privileges"
}

const settingOf = (server: ServerHealth, name: string): string => server.settings[name]?.value ?? ""

const sourceOf = (server: ServerHealth, name: string): string =>
  server.settings[name]?.source ?? "an unknown source"

const durability: Check<DatabaseHealth> = {
  name: "durability",
  about:
    "`fsync`, `full_page_writes` and `synchronous_commit`: what the server acknowledges survives a crash.",
  docs: "docs/design/protocol.md",
  run: Effect.map(health, (server) => {
    const off = ["fsync", "full_page_writes"].filter((name) => settingOf(server, name) === "off")
    const commit = settingOf(server, "synchronous_commit")
    const found: Array<Found> = off.map((name) => ({
      severity: "problem",
      title: `${name} is off`,
      seen: `A crash of the host can undo a purge whose object is deleted, or damage tables. The setting is from: ${sourceOf(server, name)}.`,
      fix: `ALTER SYSTEM SET ${name} = on; SELECT pg_reload_conf();`
    }))
    if (commit === "off" || commit === "local") {
      found.push({
        severity: "warning",
        title: `synchronous_commit is ${commit} for this role`,
        seen: `The collector and the blob store set it for their own transactions. A writer's other transactions may be lost after they were acknowledged. The setting is from: ${sourceOf(server, "synchronous_commit")}.`,
        fix: `ALTER ROLE ${server.role} SET synchronous_commit = on;`
      })
    }
    return found.length > 0 ? found : [ok("Commits are durable", `synchronous_commit is ${commit}.`)]
  })
}

/** Below this a purge of many rows is likely to be cut off in a host's own transactions. */
const shortest = Duration.seconds(5)

const role: Check<DatabaseHealth> = {
  name: "role",
  about:
    "Settings with which sessions of the role begin: time-outs, and transactions that are read-only by default.",
  docs: "docs/operations.md#connection-poolers",
  run: Effect.map(health, (server) => {
    const found: Array<Found> = []
    if (settingOf(server, "default_transaction_read_only") === "on") {
      found.push({
        severity: "problem",
        title: "Transactions of this role are read-only by default",
        seen: `No sweep can write. The setting is from: ${sourceOf(server, "default_transaction_read_only")}.`,
        fix: `ALTER ROLE ${server.role} SET default_transaction_read_only = off;`
      })
    }
    // The collector sets the others for each transaction. This one ends a transaction whatever it sets.
    const limit = millisOf(settingOf(server, "transaction_timeout"))
    if (limit > 0 && limit < Duration.toMillis(shortest)) {
      found.push({
        severity: "warning",
        title: `transaction_timeout is ${limit} ms`,
        seen: `The server ends transactions that take longer, and a purge of 1000 rows may. The setting is from: ${sourceOf(server, "transaction_timeout")}.`,
        fix: `ALTER ROLE ${server.role} SET transaction_timeout = 0;`
      })
    }
    if (millisOf(settingOf(server, "idle_in_transaction_session_timeout")) === 0) {
      found.push({
        severity: "note",
        title: "The server waits for ever for an idle transaction",
        seen: "Transactions of the collector set their own limit. A transaction that another program forgets keeps dead rows and locks.",
        fix: `ALTER DATABASE ${server.database} SET idle_in_transaction_session_timeout = '10min';`
      })
    }
    const seen = ["statement_timeout", "lock_timeout"].map(
      (name) => `${name} ${settingOf(server, name)} (${sourceOf(server, name)})`
    )
    return [
      ...found,
      ok("Time-outs of the role", `${seen.join(", ")}. Each transaction of the collector sets its own.`)
    ]
  })
}

const millisOf = (value: string): number => Number.parseInt(value, 10) || 0

const pooler: Check<DatabaseHealth> = {
  name: "pooler",
  about: "Whether a pooler answers in place of the server, and whether it shares connections by transaction.",
  docs: "docs/operations.md#connection-poolers",
  run: Effect.flatMap(DatabaseHealth, ({ pooling }) =>
    Effect.map(pooling, (kind): ReadonlyArray<Found> => {
      if (kind === "direct") return [ok("The server itself answers", "There is no pooler between.")]
      return [
        {
          severity: "note",
          title:
            kind === "transaction"
              ? "A pooler answers that shares connections by transaction"
              : "A pooler answers",
          seen:
            kind === "transaction"
              ? "Two connections of this process had the same server process (PgBouncer with pool_mode = transaction). The collector works so, without prepared statements and without connections that only read, which costs about a quarter of its speed."
              : "The server process is not the one that the connection was told. The collector sends statements without names.",
          fix: "DATABASE_URL=postgres://user:password@server:5432/database    # the server itself, for the collector"
        }
      ]
    })
  )
}

const connections = ({ database }: Configuration): Check<DatabaseHealth> => ({
  name: "connections",
  about: "`DATABASE_MAX_CONNECTIONS` fits into what the server, the database and the role allow.",
  docs: "docs/configuration.md",
  run: Effect.map(health, (server) => {
    const { connections: held, connectionsMax, roleConnectionsMax } = server
    const wanted = database.maxConnections
    const most = Math.min(connectionsMax, roleConnectionsMax ?? connectionsMax)
    const seen = `This process may open ${wanted}. The server has ${connectionsMax} for all clients, of which ${held} are in use${roleConnectionsMax === null ? "" : `; role and database are limited to ${roleConnectionsMax}`}.`
    if (wanted > most) {
      return [
        {
          severity: "problem",
          title: "DATABASE_MAX_CONNECTIONS is more than the server allows",
          seen,
          fix: `DATABASE_MAX_CONNECTIONS=${Math.max(2, Math.floor(most / 2))}`
        }
      ]
    }
    return held + wanted > connectionsMax
      ? [
          {
            severity: "warning",
            title: "The server's connections may run out",
            seen,
            fix: `ALTER SYSTEM SET max_connections = ${2 * connectionsMax};    -- and restart the server`
          }
        ]
      : [ok("Connections suffice", seen)]
  })
})

const encryption: Check<DatabaseHealth> = {
  name: "encryption",
  about: "A connection to a database on another host uses TLS.",
  docs: "docs/operations.md#tls",
  run: Effect.map(health, ({ isRemote, tls }) => {
    if (tls !== null) return [ok("The connection to the database is encrypted", `${tls}.`)]
    return isRemote
      ? [
          {
            severity: "warning",
            title: "The connection to the database is not encrypted",
            seen: "The server is on another host. Its password and every row can be read on the way.",
            fix: "DATABASE_URL=postgres://user:password@host:5432/database?sslmode=verify-full"
          }
        ]
      : [ok("The database is on this host", "The connection is not encrypted, and does not leave the host.")]
  })
}

const rights: Check<DatabaseHealth> = {
  name: "rights",
  about: "Rights that sweeps do not need, and that `migrate`, `serve` and writers do.",
  docs: "docs/operations.md#privileges",
  run: Effect.flatMap(DatabaseHealth, ({ rights }) =>
    Effect.map(
      rights,
      (missing): ReadonlyArray<Found> =>
        missing.length === 0
          ? [ok("The role may also write blobs and migrate")]
          : missing.map(({ fix, neededBy, what }) => ({
              severity: "note",
              title: `This role lacks ${what}`,
              seen: `Sweeps do not need it. Needed by ${neededBy}. If another role does that, there is nothing to do.`,
              fix
            }))
    )
  )
}
