/**
 * The baseline of a purge: one row at a time, without a journal and without locks beyond a statement. It is
 * unsafe: a process that dies after deleting a row leaves the object behind.
 *
 * It stops after a sample, since the cost of each deletion does not change.
 */

import { connect } from "../harness/Postgres.ts"
import { runVariant } from "../harness/Variant.ts"
import { condemned, deleteEach } from "./OneByOne.ts"
import type { Outcome, Task } from "./Task.ts"

await runVariant<Task, Outcome>(async ({ databaseUrl, sample }) => {
  const database = await connect(databaseUrl)
  const digests = (await condemned(database)).slice(0, sample)
  return {
    run: async () => ({ purged: await deleteEach(database, digests), statements: {} }),
    close: database.close
  }
})
