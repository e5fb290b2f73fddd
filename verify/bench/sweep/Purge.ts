/**
 * The floor of a purge: the statements of `Orphans.purge` page by page, and concurrent work on the keys of
 * each page.
 */
import type { Connection } from "../harness/Postgres.ts"
import { ensure } from "../harness/Question.ts"
import * as Statements from "./Statements.ts"

const hourMillis = 60 * 60 * 1000

/** Executes a statement. */
export type Query = (
  connection: Connection,
  statement: Statements.Sql
) => Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>

/** Creates a query that reports each statement to `executed`, except those that begin and commit. */
export const querying =
  (executed: (statement: string) => void): Query =>
  (connection, statement) => {
    if (!Statements.ofTransactions.has(statement)) executed(statement.text)
    return connection.query(statement.text, statement.parameters)
  }

/** Begins a transaction as the collector does. */
export const beginTransaction = async (
  query: Query,
  connection: Connection,
  prepare = Statements.prepare
): Promise<void> => {
  await query(connection, Statements.begin)
  await query(connection, prepare)
}

/** Executes a statement in a transaction of its own, as the collector does. */
export const alone = async (query: Query, connection: Connection, statement: Statements.Sql) => {
  await beginTransaction(query, connection)
  const rows = await query(connection, statement)
  await query(connection, Statements.commit)
  return rows
}

/** Purges pages of `batch` condemned blobs, and yields the keys of each page. */
export async function* purge(query: Query, connection: Connection, batch: number) {
  let after: Statements.Cursor | null = null
  while (true) {
    const now = Date.now()
    const cutoff = new Date(now - hourMillis)
    await alone(query, connection, Statements.breaker)
    await beginTransaction(query, connection)
    await query(connection, Statements.lockBlobs)
    const [table] = await query(connection, Statements.catalogueTable)
    await query(connection, Statements.fingerprint(String(table?.oid)))
    await query(connection, Statements.guardTriggers)
    const page = await query(connection, Statements.condemnedPage(cutoff, after, batch))
    const last = page.at(-1)
    if (last === undefined) break
    const digests = page.map(({ digest }) => digest as string)
    const locked = await query(connection, Statements.lockRows(digests))
    const purged = await query(
      connection,
      Statements.deleteAndJournal(
        locked.map(({ digest }) => digest as string),
        cutoff,
        new Date(now),
        new Date(now + hourMillis / 12)
      )
    )
    await query(connection, Statements.pinPath)
    await query(connection, Statements.forget(digests))
    await query(connection, Statements.commit)
    yield purged.map((row) => row.object_key as string)
    if (page.length < batch) return
    after = { condemnedAt: last.condemned_at as Date, digest: last.digest as string }
  }
  await query(connection, Statements.commit)
}

/**
 * Does `work` on the keys of each page while later pages are purged. Each page uses one of the connections.
 * Returns the number of keys.
 */
export const forEachPage = async (
  pages: AsyncIterable<ReadonlyArray<string>>,
  connections: ReadonlyArray<Connection>,
  work: (keys: ReadonlyArray<string>, connection: Connection) => Promise<unknown>
): Promise<number> => {
  let done = 0
  const idle = [...connections]
  const busy = new Set<Promise<void>>()
  for await (const keys of pages) {
    if (idle.length === 0) await Promise.race(busy)
    const connection = idle.pop()
    ensure(connection !== undefined, "no connection is free after a batch ended")
    const batch = work(keys, connection).then(() => {
      done += keys.length
      idle.push(connection)
      busy.delete(batch)
    })
    busy.add(batch)
  }
  await Promise.all(busy)
  return done
}
