/**
 * The collector's pass over the whole catalogue, slice by slice, with the layers and the heap of the binary.
 */
import { Effect } from "effect"
import { CollectorDatabase, type Slice } from "../../../src/database/Database.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import { keepHeapSmall } from "../../../src/platform/heap.ts"
import * as Services from "../harness/Services.ts"
import { runVariant } from "../harness/Variant.ts"
import { type Pass, type Task, totals } from "./Task.ts"

keepHeapSmall()

const pass = Effect.fnUntraced(function* (scanPage: number) {
  const { orphans } = yield* CollectorDatabase
  const { add, took, found, slowestMillis } = totals()
  /** Times a verb, which is one statement and the settings before it. */
  const timed = Effect.fnUntraced(function* <A, E>(statement: Effect.Effect<A, E>) {
    const began = performance.now()
    const answer = yield* statement
    took(performance.now() - began)
    return answer
  })
  let after: Digest | null = null
  do {
    const slice: Slice = yield* timed(orphans.readSlice(after, scanPage))
    for (const { digest } of yield* timed(orphans.find(slice))) add(digest)
    after = slice.upTo
  } while (after !== null)
  return { found: found(), slowestMillis: slowestMillis() }
})

await runVariant<Task, Pass>(async (task) => {
  const { run, close } = await Services.open(task)
  return { run: () => run(pass(task.scanPage)), close }
})
