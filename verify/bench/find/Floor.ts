/** The floor of a pass: the same statements in a loop on one plain connection. */

import { connect } from "../harness/Postgres.ts"
import { recorder } from "../harness/Recorder.ts"
import { runVariant } from "../harness/Variant.ts"
import { beginTransaction, querying } from "../sweep/Purge.ts"
import * as Statements from "../sweep/Statements.ts"
import { type Pass, type Task, totals } from "./Task.ts"

await runVariant<Task, Pass>(async ({ databaseUrl, scanPage, records }) => {
  const database = await connect(databaseUrl)
  const { executed, statements } = recorder(records)
  const { add, took, found, slowestMillis } = totals()
  const onAny = querying(executed)
  /** Executes a statement in its own transaction, as the collector does. */
  const query = async (statement: Statements.Sql) => {
    const began = performance.now()
    await beginTransaction(onAny, database, Statements.prepareByIndex)
    const rows = await onAny(database, statement)
    await onAny(database, Statements.commit)
    took(performance.now() - began)
    return rows
  }
  const run = async (): Promise<Pass> => {
    let after: string | null = null
    do {
      const [page] = await query(Statements.pageAfter(after, scanPage))
      const upTo = Number(page?.blobs) < scanPage ? null : (page?.up_to as string)
      for (const { digest } of await query(Statements.find({ after, upTo }))) add(digest as string)
      after = upTo
    } while (after !== null)
    return { found: found(), slowestMillis: slowestMillis(), statements }
  }
  return { run, close: database.close }
})
