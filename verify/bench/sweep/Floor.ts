/**
 * The floor of a sweep: the same statements in the same transactions, and the same requests with the same
 * concurrency. It has no bounds, no report, no retries and no checks.
 */
import { DeleteObjectsCommand } from "@aws-sdk/client-s3"
import { type Connection, connect } from "../harness/Postgres.ts"
import { ensure } from "../harness/Question.ts"
import { recorder } from "../harness/Recorder.ts"
import { runVariant } from "../harness/Variant.ts"
import { client } from "./Client.ts"
import { alone, beginTransaction, forEachPage, purge, type Query, querying } from "./Purge.ts"
import * as Statements from "./Statements.ts"
import type { Outcome, Task } from "./Task.ts"

/** Scans the catalogue once, slice by slice. */
const scan = async (query: Query, connection: Connection, { scanPage }: Task) => {
  let firstPass: number | null = null
  while (true) {
    await beginTransaction(query, connection, Statements.prepareByIndex)
    const [at] = await query(connection, Statements.lockScan(firstPass))
    if (at === undefined || at.done === true) break
    firstPass ??= Number(at.pass)
    const after = at.position as string | null
    const [page] = await query(connection, Statements.pageAfter(after, scanPage))
    const upTo = Number(page?.blobs) < scanPage ? null : (page?.up_to as string)
    await query(connection, Statements.moveScan(upTo))
    await query(connection, Statements.commit)
    await record(query, connection, { after, upTo })
  }
  await query(connection, Statements.commit)
}

/** Records the orphans of a slice. All were condemned before, so none is condemned now. */
const record = async (query: Query, connection: Connection, slice: Statements.Slice) => {
  await beginTransaction(query, connection, Statements.prepareByIndex)
  const orphans = await query(connection, Statements.find(slice))
  await query(connection, Statements.commit)
  const seen = orphans.map(({ digest }) => digest as string)
  const now = new Date()
  await beginTransaction(query, connection)
  await query(connection, Statements.recordNew(now, seen, []))
  await query(connection, Statements.recordKnown(slice, now, seen, []))
  await query(connection, Statements.commit)
}

await runVariant<Task, Outcome>(async (task) => {
  const scanner = await connect(task.databaseUrl)
  const confirmers = await Promise.all(
    Array.from({ length: task.concurrency }, () => connect(task.databaseUrl))
  )
  const s3 = client(task.s3)
  const { executed, statements } = recorder(task.records)
  const query = querying(executed)

  const deleteObjects = async (keys: ReadonlyArray<string>, confirmer: Connection) => {
    const Delete = { Objects: keys.map((Key) => ({ Key })) }
    const answer = await s3.send(new DeleteObjectsCommand({ Bucket: task.s3.bucket, Delete }))
    ensure(answer.Deleted?.length === keys.length, "the store did not delete a whole batch")
    await alone(query, confirmer, Statements.confirm(keys))
  }

  const run = async (): Promise<Outcome> => {
    const began = performance.now()
    await scan(query, scanner, task)
    const scanned = performance.now()
    const deleted = await forEachPage(purge(query, scanner, task.batch), confirmers, deleteObjects)
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
