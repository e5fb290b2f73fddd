import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { HttpRouter } from "effect/http"
import { afterEach } from "vitest"
import * as Health from "../../../src/oci/http/Health.ts"
import { notStuck } from "../../../src/oci/http/Server.ts"

const disposals: Array<() => Promise<void>> = []
afterEach(async () => {
  for (const dispose of disposals.splice(0)) await dispose()
})

const asked = (ready: Effect.Effect<void, { readonly message: string }>) => {
  const { handler, dispose } = HttpRouter.toWebHandler(Health.layer(ready), { disableLogger: true })
  disposals.push(dispose)
  return async (path: string) => {
    const response = await handler(new Request(`http://registry${path}`))
    return { status: response.status, text: await response.text() }
  }
}

describe("a probe", () => {
  it("of liveness succeeds whatever database and store do", async () => {
    const get = asked(Effect.never)
    assert.deepStrictEqual(await get("/healthz"), { status: 200, text: "alive\n" })
  })

  it("of readiness depends on database and store", async () => {
    assert.deepStrictEqual(await asked(Effect.void)("/readyz"), { status: 200, text: "ready\n" })
  })

  it("of readiness gives no reason, and checks at most once a second", async () => {
    let questions = 0
    const get = asked(
      Effect.suspend(() => {
        questions += 1
        return Effect.fail({ message: "SECRET host is down" })
      })
    )
    const answers = await Promise.all([get("/readyz"), get("/readyz"), get("/readyz")])
    for (const answer of answers) assert.deepStrictEqual(answer, { status: 503, text: "not ready\n" })
    assert.strictEqual(questions, 1)
  })
})

it.effect("readiness ends when no place was given for a minute, and returns with the next one", () =>
  Effect.gen(function* () {
    let stuckMillis = 59_999
    const ready = notStuck(() => stuckMillis)
    yield* ready
    stuckMillis = 60_000
    assert.include((yield* Effect.flip(ready)).message, "No body or response got a place")
    stuckMillis = 0
    yield* ready
  })
)
