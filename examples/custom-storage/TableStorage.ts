/**
 * A store of its own: objects as rows of the app's PostgreSQL, so that one backup holds everything. It suits objects of
 * kilobytes, and shows what a store has to promise.
 *
 * An object is an upload that has a name. Its pieces are written first, and one transaction names it: it is visible with
 * all its bytes or not at all. A crash leaves an upload without a name, which `multiparts` lists and a sweep aborts.
 */
import { randomUUID } from "node:crypto"
import { ObjectKey, Storage } from "artifact-gc"
import { Clock, Effect, Option, Stream } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

const tables = [
  "CREATE TABLE uploads (id uuid PRIMARY KEY, key text NOT NULL, begun_at float8 NOT NULL)",
  `CREATE TABLE pieces (
    upload uuid REFERENCES uploads ON DELETE CASCADE, n int, bytes bytea NOT NULL, PRIMARY KEY (upload, n)
  )`,
  // "C" sorts by the bytes of UTF-8, as a listing must.
  `CREATE TABLE objects (
    key text COLLATE "C" PRIMARY KEY, size float8 NOT NULL, modified_at float8 NOT NULL,
    upload uuid NOT NULL REFERENCES uploads ON DELETE CASCADE
  )`,
  "CREATE INDEX ON objects (upload)"
]

/** The columns that hold object keys, for `notReferences` of the catalogue's names. */
export const keyColumns = ["public.uploads.key", "public.objects.key"]

/** Creates the store's tables. */
export const createTables = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.forEach(tables, (statement) => sql.unsafe(statement), { discard: true })
)

const absent = new Storage.OwnStoreError({ reason: "NotFound", detail: "no such object" })

/** Collectors slow down and try again where the reason says that the same request may succeed later. */
const failed = (error: SqlError.SqlError) =>
  Storage.ownStoreError(error.reason.isRetryable ? "Unavailable" : "Unknown")(error)

interface Row {
  readonly key: string
  readonly sizeBytes: number
  readonly modifiedAt: number
}

const pageMax = 1000

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** A statement takes a connection only while it runs, so any number of readers share a pool. */
  const piecesOf = (upload: string) =>
    Stream.paginate(0, (n: number) =>
      sql<{ bytes: Uint8Array }>`SELECT bytes FROM pieces WHERE upload = ${upload} AND n = ${n}`.pipe(
        Effect.map(
          (rows) =>
            [rows.map(({ bytes }) => bytes), rows.length === 0 ? Option.none() : Option.some(n + 1)] as const
        )
      )
    )

  const page = (prefix: string, after: string) =>
    sql<Row>`
      SELECT key, size AS "sizeBytes", modified_at AS "modifiedAt" FROM objects
      WHERE key > ${after} AND starts_with(key, ${prefix}) ORDER BY key LIMIT ${pageMax}`

  const unfinished = (prefix: string) =>
    sql<{ key: string; uploadId: string; lastActivityAt: number }>`
      SELECT key, id::text AS "uploadId", begun_at AS "lastActivityAt" FROM uploads u
      WHERE starts_with(key, ${prefix}) AND NOT EXISTS (SELECT FROM objects o WHERE o.upload = u.id)`

  const forget = (upload: string) => sql`DELETE FROM uploads WHERE id::text = ${upload}
    AND NOT EXISTS (SELECT FROM objects o WHERE o.upload = uploads.id)`

  const remove = (key: string) =>
    sql`DELETE FROM uploads USING objects o WHERE o.key = ${key} AND uploads.id = o.upload`

  const own: Storage.OwnStore = {
    description: "the tables uploads, pieces and objects",
    read: (key) =>
      sql<{ upload: string }>`SELECT upload::text FROM objects WHERE key = ${key}`.pipe(
        Effect.mapError(failed),
        Effect.map(([row]) =>
          row === undefined ? Stream.fail(absent) : Stream.mapError(piecesOf(row.upload), failed)
        ),
        Stream.unwrap
      ),
    write: (key, body) => {
      const upload = randomUUID()
      const statement = (effect: Effect.Effect<unknown, SqlError.SqlError>) => Effect.mapError(effect, failed)
      return Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        yield* statement(sql`INSERT INTO uploads VALUES (${upload}, ${key}, ${now})`)
        const size = yield* body.pipe(
          Stream.filter((bytes) => bytes.length > 0),
          Stream.zipWithIndex,
          Stream.tap(([bytes, n]) => statement(sql`INSERT INTO pieces VALUES (${upload}, ${n}, ${bytes})`)),
          Stream.runFold(
            () => 0,
            (sum, [bytes]) => sum + bytes.length
          )
        )
        const written = sql`INSERT INTO objects VALUES (${key}, ${size}, ${now}, ${upload})`
        yield* statement(sql.withTransaction(Effect.andThen(remove(key), written)))
      }).pipe(Effect.onError(() => Effect.ignore(forget(upload))))
    },
    remove: (key) => Effect.mapError(Effect.asVoid(remove(key)), failed),
    list: (prefix, after) =>
      Stream.paginate(after ?? "", (last: string) =>
        Effect.map(
          page(prefix, last),
          (rows) =>
            [rows, rows.length < pageMax ? Option.none() : Option.fromUndefinedOr(rows.at(-1)?.key)] as const
        )
      ).pipe(Stream.mapError(failed)),
    head: (key) =>
      sql<Row>`SELECT size AS "sizeBytes", modified_at AS "modifiedAt" FROM objects WHERE key = ${key}`.pipe(
        Effect.mapBoth({ onFailure: failed, onSuccess: ([row]) => row })
      ),
    multiparts: {
      list: (prefix) =>
        Stream.fromIterableEffect(unfinished(prefix)).pipe(
          Stream.mapBoth({
            onError: failed,
            onElement: (row) => ({ ...row, key: ObjectKey.ObjectKey.make(row.key) })
          })
        ),
      abort: ({ uploadId }) => Effect.mapError(Effect.asVoid(forget(uploadId)), failed)
    }
  }
  return own
})

/** Provides the store on the app's `SqlClient`. */
export const layer = Storage.layerFrom(make)
