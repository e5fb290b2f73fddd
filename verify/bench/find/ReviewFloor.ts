/** The floor of a review: the same statements in the same transactions, in a loop on one plain connection. */

import { connect } from "../harness/Postgres.ts"
import { recorder } from "../harness/Recorder.ts"
import { runVariant } from "../harness/Variant.ts"
import { beginTransaction, querying } from "../sweep/Purge.ts"
import { commit, prepareByIndex, type Sql } from "../sweep/Statements.ts"
import * as Statements from "./ReviewStatements.ts"
import { type Review, type Task, totals } from "./Task.ts"

await runVariant<Task, Review>(async ({ databaseUrl, scanPage, records }) => {
  const database = await connect(databaseUrl)
  const { executed, statements } = recorder(records)
  const onAny = querying(executed)
  const query = (statement: Sql) => onAny(database, statement)

  const reviewPage = async (): Promise<number> => {
    await beginTransaction(onAny, database, prepareByIndex)
    const page = await query(Statements.lockCandidates(scanPage))
    if (page.length > 0) {
      const digests = [...new Set(page.map(({ digest }) => digest as string))]
      await query(Statements.recordSightings(new Date(), digests))
      await query(Statements.deleteCandidates(page.map(({ id }) => id as string)))
    }
    await query(commit)
    return page.length
  }

  const run = async (): Promise<Review> => {
    const { add, found } = totals()
    let reviewed = 0
    let candidates: number
    do {
      candidates = await reviewPage()
      reviewed += candidates
    } while (candidates === scanPage)
    let after: string | null = null
    let more: boolean
    do {
      await beginTransaction(onAny, database, prepareByIndex)
      const page = await query(Statements.readSightings(after, scanPage))
      await query(commit)
      for (const { digest, is_orphan } of page) if (is_orphan === true) add(digest as string)
      after = (page.at(-1)?.digest as string | undefined) ?? null
      more = page.length === scanPage
    } while (more)
    return { candidates: reviewed, found: found(), statements }
  }
  return { run, close: database.close }
})
