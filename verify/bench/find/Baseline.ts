/**
 * The baseline: one statement for all orphans, whose rows are then in memory, as in the simplest collector.
 */

import { connect } from "../harness/Postgres.ts"
import { runVariant } from "../harness/Variant.ts"
import { antiJoin } from "../sweep/Statements.ts"
import { type Pass, type Task, totals } from "./Task.ts"

await runVariant<Task, Pass>(async ({ databaseUrl }) => {
  const database = await connect(databaseUrl)
  const run = async (): Promise<Pass> => {
    const { add, took, found, slowestMillis } = totals()
    const began = performance.now()
    const orphans = await database.query(antiJoin.text)
    took(performance.now() - began)
    for (const { digest } of orphans) add(digest as string)
    return { found: found(), slowestMillis: slowestMillis(), statements: {} }
  }
  return { run, close: database.close }
})
