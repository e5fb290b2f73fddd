/** The time of a simulated world, and processes that are killed. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { beginning, make } from "../../../src/testing/simulation/Time.ts"

const always = () => 0

describe("a process that was killed", () => {
  it.effect("sleeps for ever, also if its fiber was about to run, and holds up no end of a run", () =>
    Effect.gen(function* () {
      const time = make()
      const [dead, alive] = [{}, {}].map((owner) => ({ owner, clock: time.clock(owner, always) }))
      assert.isDefined(dead)
      assert.isDefined(alive)
      time.forget(dead.owner)
      const fibers = yield* Effect.forEach([dead, alive], ({ clock }, n) =>
        Effect.forkChild(clock.sleep(Duration.seconds(1 + n)), { startImmediately: true })
      )
      assert.strictEqual(time.nextWakeAt(), beginning + 2000)
      time.pass(2000)
      assert.isNull(time.nextWakeAt())
      yield* Effect.yieldNow
      assert.deepStrictEqual(
        fibers.map((fiber) => fiber.pollUnsafe() === undefined),
        [true, false]
      )
      yield* Fiber.interruptAll(fibers)
    })
  )
})
