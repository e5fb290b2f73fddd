/**
 * The floor of a sweep: the same statements in the same transactions, the same requests as many at a time, and
 * nothing else. No bounds, no report, no retry, no judgement: it believes every answer.
 */
import { DeleteObjectsCommand } from "@aws-sdk/client-s3"
import { compete } from "../harness/Contender.ts"
import { type Connection, connect } from "../harness/Postgres.ts"
import { insist } from "../harness/Question.ts"
import { client } from "./Client.ts"
import * as Statements from "./Statements.ts"
import { type Outcome, recorder, type Task } from "./Task.ts"

const hourMillis = 60 * 60 * 1000

type Query = (
  connection: Connection,
  statement: Statements.Sql
) => Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>

/** Goes once through the catalogue, slice by slice. */
const scan = async (query: Query, connection: Connection, { scanPage }: Task) => {
  let firstPass: number | null = null
  while (true) {
    await query(connection, Statements.begin)
    const [at] = await query(connection, Statements.lockScan(firstPass))
    if (at === undefined || at.done === true) break
    firstPass ??= Number(at.pass)
    const after = at.position as string | null
    const [page] = await query(connection, Statements.pageAfter(after, scanPage))
    const upTo = Number(page?.blobs) < scanPage ? null : (page?.up_to as string)
    await query(connection, Statements.moveScan(upTo))
    await query(connection, Statements.commit)
    await mark(query, connection, { after, upTo })
  }
  await query(connection, Statements.commit)
}

/** Everything was condemned long ago, so nothing new is. */
const mark = async (query: Query, connection: Connection, slice: Statements.Slice) => {
  const orphans = await query(connection, Statements.find(slice))
  const seen = orphans.map(({ digest }) => digest as string)
  const now = new Date()
  await query(connection, Statements.begin)
  await query(connection, Statements.recordNew(slice, now, seen, []))
  await query(connection, Statements.recordKnown(slice, now, seen, []))
  await query(connection, Statements.commit)
}

/** Purges page by page; yields the keys of each. */
async function* purge(query: Query, connection: Connection, { batch }: Task) {
  let after: Statements.Cursor | null = null
  while (true) {
    const now = Date.now()
    const cutoff = new Date(now - hourMillis)
    await query(connection, Statements.breaker)
    await query(connection, Statements.begin)
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
    await query(connection, Statements.forget(digests))
    await query(connection, Statements.commit)
    yield purged.map((row) => row.object_key as string)
    if (page.length < batch) return
    after = { condemnedAt: last.condemned_at as Date, digest: last.digest as string }
  }
  await query(connection, Statements.commit)
}

await compete<Task, Outcome>(async (task) => {
  const scanner = await connect(task.databaseUrl)
  const confirmers = await Promise.all(
    Array.from({ length: task.concurrency }, () => connect(task.databaseUrl))
  )
  const s3 = client(task.s3)
  const { executed, statements } = recorder(task.records)
  const query: Query = (connection, statement) => {
    if (statement !== Statements.begin && statement !== Statements.commit) executed(statement.text)
    return connection.query(statement.text, statement.parameters)
  }

  const deleteObjects = async (keys: ReadonlyArray<string>, confirmer: Connection) => {
    const Delete = { Objects: keys.map((Key) => ({ Key })) }
    const answer = await s3.send(new DeleteObjectsCommand({ Bucket: task.s3.bucket, Delete }))
    insist(answer.Deleted?.length === keys.length, "the store did not delete a whole batch")
    await query(confirmer, Statements.confirm(keys))
  }

  const run = async (): Promise<Outcome> => {
    const began = performance.now()
    await scan(query, scanner, task)
    const scanned = performance.now()
    let deleted = 0
    const idle = [...confirmers]
    const busy = new Set<Promise<void>>()
    for await (const keys of purge(query, scanner, task)) {
      if (idle.length === 0) await Promise.race(busy)
      const confirmer = idle.pop()
      insist(confirmer !== undefined, "a batch ended and left no connection")
      const batch = deleteObjects(keys, confirmer).then(() => {
        deleted += keys.length
        idle.push(confirmer)
        busy.delete(batch)
      })
      busy.add(batch)
    }
    await Promise.all(busy)
    return {
      deleted,
      scanMillis: scanned - began,
      purgeMillis: performance.now() - scanned,
      statements
    }
  }
  const close = async () => {
    s3.destroy()
    await Promise.all([scanner, ...confirmers].map((connection) => connection.close()))
  }
  return { run, close }
})
