/**
 * The baseline of a purge: one row at a time, with no journal and no lock that outlasts a statement. Unsafe, as it
 * happens: whoever dies behind a row leaves its object for ever.
 *
 * It stops after a sample; what it does does not become cheaper or dearer as it goes on.
 */
import { compete } from "../harness/Contender.ts"
import { connect } from "../harness/Postgres.ts"
import { condemned, deleteEach } from "./OneByOne.ts"
import type { Outcome, Task } from "./Task.ts"

await compete<Task, Outcome>(async ({ databaseUrl, sample }) => {
  const database = await connect(databaseUrl)
  const digests = (await condemned(database)).slice(0, sample)
  return {
    run: async () => ({ purged: await deleteEach(database, digests), statements: {} }),
    close: database.close
  }
})
