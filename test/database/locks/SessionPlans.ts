/** What verbs of upload sessions cost where there are many: they find rows by index, and read none that are not theirs. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Arena, arena } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { plansOf } from "../../fixtures/database/Plans.ts"
import { hour, intent, minute, now } from "../../fixtures/samples.ts"
import { brought, ref } from "../../oci/database/contract/Sessions.ts"
import { made } from "./Sessions.ts"

/** Ten thousand sessions of two chunks, all but one in twenty active. */
const many = Effect.fnUntraced(function* (a: Arena) {
  const fill = yield* a.session
  yield* fill(
    `INSERT INTO artifact_gc.upload_sessions (id, repository, algorithm, state, received_bytes, last_activity_at)
     SELECT 's' || n, 'library/app', 'sha256', 'open', 2, to_timestamp($1 - (n % 20 / 19) * 7200)
     FROM generate_series(1, 10000) n`,
    [now / 1000]
  )
  yield* fill(
    `INSERT INTO artifact_gc.upload_chunks (object_key, session_id, start_byte, size_bytes, digest)
     SELECT 'uploads/' || n || '/' || b, 's' || n, b, 1, 'sha256:' || n FROM generate_series(1, 10000) n, generate_series(0, 1) b`
  )
  yield* fill("ANALYZE artifact_gc.upload_sessions, artifact_gc.upload_chunks")
})

export const sessionPlans = (server: Server): void => {
  describe("of ten thousand upload sessions", () => {
    it.live("no verb of one, and no expiry of a few, reads them all", () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* many(a)
        const { blobs, sessions } = a.database
        yield* blobs.intend([intent(1), intent(2)])
        const lease = { token: "mine", until: now + minute }
        const steps = [
          sessions.open(now, { ...ref("new"), algorithm: "sha256" }),
          sessions.read(ref("s1")),
          sessions.touch(now, ref("s1")),
          sessions.append(now, ref("s1"), brought(1, 2)),
          sessions.append(now, ref("s1"), brought(2, 0)),
          sessions.claim(now, ref("s1"), lease),
          sessions.renewClaim(now, ref("s1"), lease),
          sessions.release(now, ref("s1"), "mine"),
          sessions.claim(now, ref("s1"), lease),
          sessions.complete(now, ref("s1"), "mine", { ...made(7), key: brought(1, 2).key }),
          sessions.cancel(now, ref("s2")),
          sessions.expire({
            ...{ now, limit: 100, idleSince: now - hour },
            ...{ deleteNotBefore: now, leaseUntil: null }
          })
        ]
        const plans = yield* plansOf(
          "upload_",
          Effect.forEach(steps, (step) => Effect.asVoid(step as Effect.Effect<unknown, unknown>))
        )
        assert.isAbove(plans.length, steps.length)
        for (const plan of plans) assert.notMatch(plan, /Seq Scan on upload_/)
        const expiry = plans.filter((plan) => plan.includes("SKIP LOCKED"))
        assert.lengthOf(expiry, 1)
        assert.match(expiry.join(), /Index Scan using upload_sessions_idle/)
        assert.strictEqual((yield* a.tables.rows).sessions.length, 10_001 - 1 - 33)
      })
    )
  })
}
