/** The baseline: one statement for all orphans, whose rows the client then holds, as the simplest collector does. */
import { compete } from "../harness/Contender.ts"
import { connect } from "../harness/Postgres.ts"
import { antiJoin } from "../sweep/Statements.ts"
import { type Pass, type Task, tally } from "./Task.ts"

await compete<Task, Pass>(async ({ databaseUrl }) => {
  const database = await connect(databaseUrl)
  const run = async (): Promise<Pass> => {
    const { add, took, found, slowestMillis } = tally()
    const began = performance.now()
    const orphans = await database.query(antiJoin.text)
    took(performance.now() - began)
    for (const { digest } of orphans) add(digest as string)
    return { found: found(), slowestMillis: slowestMillis(), statements: {} }
  }
  return { run, close: database.close }
})
