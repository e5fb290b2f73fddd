/** The floor of a purge: the same statements in the same transactions, in a loop on plain connections. */

import { connect } from "../harness/Postgres.ts"
import { recorder } from "../harness/Recorder.ts"
import { runVariant } from "../harness/Variant.ts"
import { forEachPage, purge, querying } from "../sweep/Purge.ts"
import { confirm } from "../sweep/Statements.ts"
import type { Outcome, Task } from "./Task.ts"

await runVariant<Task, Outcome>(async ({ databaseUrl, batch, concurrency, records }) => {
  const purger = await connect(databaseUrl)
  const confirmers = await Promise.all(Array.from({ length: concurrency }, () => connect(databaseUrl)))
  const { executed, statements } = recorder(records)
  const query = querying(executed)
  const run = async (): Promise<Outcome> => ({
    purged: await forEachPage(purge(query, purger, batch), confirmers, (keys, confirmer) =>
      query(confirmer, confirm(keys))
    ),
    statements
  })
  const close = async () => {
    await Promise.all([purger, ...confirmers].map((connection) => connection.close()))
  }
  return { run, close }
})
