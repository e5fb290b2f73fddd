/** The collector's review of candidates, and its check of the sightings that result. */
import { Clock, Effect } from "effect"
import { CollectorDatabase, type Reviewed, type Sighted } from "../../../src/database/Database.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import { keepHeapSmall } from "../../../src/platform/heap.ts"
import * as Services from "../harness/Services.ts"
import { runVariant } from "../harness/Variant.ts"
import { type Review, type Task, totals } from "./Task.ts"

keepHeapSmall()

const review = Effect.fnUntraced(function* (scanPage: number) {
  const { candidates } = yield* CollectorDatabase
  const { add, found } = totals()
  let reviewed = 0
  let page: Reviewed
  do {
    page = yield* candidates.review(yield* Clock.currentTimeMillis, scanPage)
    reviewed += page.candidates
  } while (page.candidates === scanPage)
  let after: Digest | null = null
  do {
    const sighted: Sighted = yield* candidates.sighted(after, scanPage)
    for (const { digest } of sighted.orphans) add(digest)
    after = sighted.next
  } while (after !== null)
  return { candidates: reviewed, found: found() }
})

await runVariant<Task, Review>(async (task) => {
  const { run, close } = await Services.open(task)
  return { run: () => run(review(task.scanPage)), close }
})
