/**
 * The collector's purge without a store, page by page, with the layers, the settings and the heap of the
 * binary. The journal rows of each page are confirmed concurrently, as if the objects had been deleted at
 * once.
 */
import { Clock, Duration, Effect, Option, Stream } from "effect"
import { CollectorDatabase, type PurgeCursor } from "../../../src/database/Database.ts"
import { keepHeapSmall } from "../../../src/platform/heap.ts"
import { defaultSettings } from "../../../src/sweep/Settings.ts"
import * as Services from "../harness/Services.ts"
import { runVariant } from "../harness/Variant.ts"
import type { Outcome, Task } from "./Task.ts"

keepHeapSmall()

const graceMillis = Duration.toMillis(defaultSettings.grace)
const quarantineMillis = Duration.toMillis(defaultSettings.quarantine)
const leaseMillis = Duration.toMillis(defaultSettings.lease)

const purgePage = Effect.fnUntraced(function* (limit: number, after: PurgeCursor | null) {
  const { breakers, orphans } = yield* CollectorDatabase
  // A sweep reads it before each page, too.
  yield* breakers.read("orphans")
  const now = yield* Clock.currentTimeMillis
  const page = yield* orphans.purge({
    now,
    condemnedCutoff: now - quarantineMillis,
    seenCutoff: now - graceMillis,
    usedCutoff: now - graceMillis,
    limit,
    after,
    deleteNotBefore: now,
    leaseUntil: now + leaseMillis
  })
  const batch = page.purged.length === 0 ? [] : [page.purged.map(({ key }) => key)]
  return [batch, Option.fromNullishOr(page.next)] as const
})

const purge = Effect.fnUntraced(function* ({ batch, concurrency }: Task) {
  const { journal } = yield* CollectorDatabase
  const pages = Stream.paginate(null, (after: PurgeCursor | null) => purgePage(batch, after))
  const purged = yield* pages.pipe(
    Stream.mapEffect((keys) => Effect.as(journal.confirm(keys), keys.length), {
      concurrency,
      unordered: true
    }),
    Stream.runFold(
      () => 0,
      (sum, count) => sum + count
    )
  )
  return { purged }
})

await runVariant<Task, Outcome>(async (task) => {
  const { run, close } = await Services.open(task)
  return { run: () => run(purge(task)), close }
})
