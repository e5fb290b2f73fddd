/** Connections to a PostgreSQL with TLS, as the program makes them from its settings. */

import { writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { afterAll, beforeAll } from "vitest"
import * as Services from "../../../src/cli/Services.ts"
import { ConfigInvalid } from "../../../src/config/Config.ts"
import { CollectorDatabase } from "../../../src/database/Database.ts"
import * as Postgres from "../../../src/database/Postgres.ts"
import { type Environment, read } from "../../config/reading.ts"
import { type Authority, authority, lock, type Pair } from "../../fixtures/tls/Authority.ts"
import { type TlsPostgres, tlsPostgres } from "../../fixtures/tls/TlsPostgres.ts"

const scope = Scope.makeUnsafe()
let own: Authority
let other: Authority
let server: TlsPostgres
let named: Pair
let unnamed: Pair

beforeAll(async () => {
  const made = Effect.gen(function* () {
    own = yield* authority
    other = yield* authority
    named = own.sign("named", { names: "DNS:localhost" })
    unnamed = own.sign("unnamed", { names: "DNS:elsewhere" })
    server = yield* tlsPostgres(own, named)
    yield* connected({ DATABASE_URL: url("postgres@localhost", "?sslmode=no-verify") }, (sql) =>
      Effect.gen(function* () {
        for (const role of ["plain", "one", "two"])
          yield* sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'first'`)
        yield* sql`CREATE ROLE certified LOGIN`
      })
    )
  })
  await Effect.runPromise(Scope.provide(made, scope))
}, 60_000)
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const url = (who: string, query = "") => `postgres://${who}:${server.port}/postgres${query}`

/** Connects as the program does with these settings. */
const connected = <A, E>(
  environment: Environment,
  use: (sql: SqlClient.SqlClient) => Effect.Effect<A, E, CollectorDatabase>
) =>
  Effect.gen(function* () {
    const configuration = yield* read({
      FILES_DIRECTORY: "/nowhere",
      DATABASE_MAX_CONNECTIONS: "2",
      ...environment
    })
    const client = Services.clientLayer(configuration)
    return yield* Effect.flatMap(SqlClient.SqlClient, use).pipe(
      Effect.provide(Layer.provideMerge(Postgres.layer(configuration.names), client))
    )
  })

const isEncrypted = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ ssl: boolean }>`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`,
    ([row]) => row?.ssl
  )

/** Returns what the program says of a connection that fails. */
const refusal = (environment: Environment) =>
  connected(environment, () => Effect.flatMap(CollectorDatabase, ({ skew }) => skew)).pipe(
    Effect.flip,
    Effect.map((error) => {
      const message = error instanceof Error ? error.message : String(error)
      assert.notInclude(message, "first", "the password")
      return message
    })
  )

describe("a connection to PostgreSQL", () => {
  it.live("is verified by authority and host name, by authority alone, or by nothing, as sslmode says", () =>
    Effect.gen(function* () {
      const ca = { DATABASE_TLS_CA: own.ca }
      const accepted: ReadonlyArray<readonly [who: string, query: string, ca: Environment]> = [
        ["one:first@localhost", "?sslmode=verify-full", ca],
        ["one:first@localhost", "?sslmode=require", ca],
        ["one:first@localhost", "", ca],
        ["one:first@127.0.0.1", "?sslmode=verify-ca", ca],
        ["one:first@127.0.0.1", "?sslmode=no-verify", {}]
      ]
      for (const [who, query, files] of accepted) {
        assert.isTrue(yield* connected({ DATABASE_URL: url(who, query), ...files }, isEncrypted), query)
      }
      assert.isFalse(yield* connected({ DATABASE_URL: url("plain:first@127.0.0.1") }, isEncrypted))
      assert.isFalse(
        yield* connected({ DATABASE_URL: url("plain:first@127.0.0.1", "?sslmode=disable") }, isEncrypted)
      )
    })
  )

  it.live("to a server under another name is refused, with what to do", () =>
    Effect.gen(function* () {
      const message = yield* refusal({
        DATABASE_URL: url("one:first@127.0.0.1", "?sslmode=verify-full"),
        DATABASE_TLS_CA: own.ca
      })
      assert.match(
        message,
        /\(Misdirected\): the server's certificate is for another host name: .*\. Nothing was sent to the server\. Write a host in DATABASE_URL that the certificate names/
      )
    })
  )

  it.live("to a server of an unknown authority is refused, whichever word asks for encryption", () =>
    Effect.gen(function* () {
      for (const mode of ["require", "verify-full"]) {
        const environment = { DATABASE_URL: url("one:first@localhost", `?sslmode=${mode}`) }
        const unknown =
          /\(Misdirected\): the server's certificate has an unknown authority: .*Set DATABASE_TLS_CA to the file of the authority/
        assert.match(yield* refusal(environment), unknown)
        assert.match(yield* refusal({ ...environment, DATABASE_TLS_CA: other.ca }), unknown)
      }
    })
  )

  it.live("to a server whose certificate has expired is refused, and accepted when it is renewed", () =>
    Effect.gen(function* () {
      const environment = { DATABASE_URL: url("one:first@localhost"), DATABASE_TLS_CA: own.ca }
      yield* server.present(own.sign("expired", { days: -1 }))
      assert.match(
        yield* refusal(environment),
        /the server's certificate has expired: .*\. Nothing was sent to the server\. Renew the certificate of the server/
      )
      yield* server.present(named)
      assert.isTrue(yield* connected(environment, isEncrypted))
    })
  )

  it.live("verifies no host name with verify-ca: the control", () =>
    Effect.gen(function* () {
      yield* server.present(unnamed)
      const ca = { DATABASE_TLS_CA: own.ca }
      const [authorityAlone, both] = ["verify-ca", "verify-full"].map((mode) => ({
        DATABASE_URL: url("one:first@localhost", `?sslmode=${mode}`),
        ...ca
      }))
      assert.isTrue(yield* connected(authorityAlone ?? {}, isEncrypted))
      assert.match(yield* refusal(both ?? {}), /is for another host name/)
      yield* server.present(named)
    })
  )

  it.live("to a server that does not speak TLS is refused, and sends no password", () =>
    Effect.gen(function* () {
      const received: Array<Buffer> = []
      const plain = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const listening = createServer((socket) => {
            socket.on("error", () => undefined)
            socket.on("data", (data) => {
              received.push(Buffer.from(data))
              socket.write("N")
            })
          }).listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
        }),
        (listening) => Effect.sync(() => listening.close())
      )
      const address = plain.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const message = yield* refusal({
        DATABASE_URL: `postgres://one:first@localhost:${port}/postgres?sslmode=verify-full`
      })
      assert.match(message, /\(Misdirected\): the server does not speak TLS\. Nothing was sent/)
      assert.isTrue(received.every((data) => data.length === 8))
    }).pipe(Effect.scoped)
  )

  it.live("presents the certificate of this program where the server wants one", () =>
    Effect.gen(function* () {
      const pair = own.sign("client")
      const environment = { DATABASE_URL: url("certified@localhost"), DATABASE_TLS_CA: own.ca }
      assert.match(
        yield* refusal(environment),
        /\(Denied\): .*certificate.*set DATABASE_TLS_CERT and DATABASE_TLS_KEY/
      )
      const own_ = { ...environment, DATABASE_TLS_CERT: pair.cert, DATABASE_TLS_KEY: pair.key }
      assert.isTrue(yield* connected(own_, isEncrypted))
      const stranger = other.sign("client")
      const message = yield* refusal({
        ...environment,
        DATABASE_TLS_CERT: stranger.cert,
        DATABASE_TLS_KEY: stranger.key
      })
      assert.match(message, /refused this program's certificate, or wants one.*Set DATABASE_TLS_CERT/)
    })
  )
})

describe("a password in a file", () => {
  it.live("is read again for new connections, with its user, and after it was refused", () =>
    Effect.gen(function* () {
      const path = join(own.directory, "url")
      const write = (who: string) => writeFileSync(path, `${url(who, "?sslmode=no-verify")}\n`)
      const asAdmin = (statement: string) =>
        connected({ DATABASE_URL: url("postgres@localhost", "?sslmode=no-verify") }, (sql) =>
          sql.unsafe(statement)
        )
      write("two:first@localhost")
      yield* connected({ DATABASE_URL_FILE: path }, (sql) =>
        Effect.gen(function* () {
          const { skew } = yield* CollectorDatabase
          const disconnect = Effect.andThen(
            asAdmin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('one', 'two')"),
            Effect.sleep("50 millis")
          )
          const user = Effect.map(sql<{ u: string }>`SELECT current_user AS u`, ([row]) => row?.u)
          assert.strictEqual(yield* user, "two")
          yield* asAdmin("ALTER ROLE two PASSWORD 'second'")
          yield* disconnect
          const error = yield* Effect.flip(Effect.andThen(Effect.ignore(user), skew))
          assert.match(error.message, /28P01/)
          assert.notInclude(error.message, "first")
          write("two:second@localhost")
          assert.strictEqual(yield* user, "two")
          write("one:first@localhost")
          yield* Effect.sleep("1200 millis")
          yield* disconnect
          assert.strictEqual(
            yield* Effect.orElseSucceed(user, () => "lost").pipe(Effect.andThen(user)),
            "one"
          )
          writeFileSync(path, `postgres://two:second@elsewhere/postgres`)
          yield* Effect.sleep("1200 millis")
          yield* disconnect
          assert.strictEqual(
            yield* Effect.ignore(user).pipe(Effect.andThen(user)),
            "one",
            "another server needs a restart"
          )
        })
      )
    })
  )
})

describe("a file of TLS", () => {
  it.live(
    "that cannot be used is refused by its setting, its path and what to do, before anything connects",
    () =>
      Effect.gen(function* () {
        const pair = own.sign("files")
        const expired = own.sign("files-expired", { days: -1 })
        const garbage = join(own.directory, "garbage")
        writeFileSync(garbage, "no PEM")
        const locked = join(own.directory, "locked.key")
        lock(pair.key, locked)
        const refused: ReadonlyArray<readonly [environment: Environment, message: RegExp]> = [
          [
            { DATABASE_TLS_CA: "/absent" },
            /^DATABASE_TLS_CA: \/absent cannot be read \(ENOENT\)\. Correct the path/
          ],
          [{ DATABASE_TLS_CA: garbage }, /^DATABASE_TLS_CA: .*garbage holds no certificate in PEM/],
          [
            { DATABASE_TLS_CERT: expired.cert, DATABASE_TLS_KEY: expired.key },
            /^DATABASE_TLS_CERT: .* has expired on .*\. Renew the certificate/
          ],
          [
            { DATABASE_TLS_CERT: pair.cert, DATABASE_TLS_KEY: expired.key },
            /^DATABASE_TLS_KEY: .* does not belong to the certificate in .*files\.crt/
          ],
          [{ DATABASE_TLS_CERT: pair.cert, DATABASE_TLS_KEY: garbage }, /holds no private key in PEM/],
          [{ DATABASE_TLS_CERT: pair.cert, DATABASE_TLS_KEY: locked }, /is encrypted with a passphrase/]
        ]
        for (const [environment, message] of refused) {
          const failure = yield* Effect.flip(
            connected({ DATABASE_URL: url("one:first@localhost"), ...environment }, isEncrypted)
          )
          assert.notInstanceOf(failure, ConfigInvalid)
          assert.match(failure instanceof Error ? failure.message : "", message)
        }
      })
  )
})
