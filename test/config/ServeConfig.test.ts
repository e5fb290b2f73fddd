import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { shortWaits } from "../../src/cli/serve/Try.ts"
import { serveProblems, serveWarnings } from "../../src/config/ServeConfig.ts"
import { type Environment, read } from "./reading.ts"

describe("a registry without authentication", () => {
  const warned = (environment: Environment) =>
    Effect.map(read(environment), ({ serve }) => serveWarnings(serve).length > 0)

  it.effect("brings no warning on this host's own addresses", () =>
    Effect.gen(function* () {
      for (const host of ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
        assert.isFalse(yield* warned({ SERVE_HOST: host }), host)
    })
  )

  it.effect("brings a warning wherever other hosts may reach it", () =>
    Effect.gen(function* () {
      for (const host of ["0.0.0.0", "::", "10.0.0.1", "registry.example", "127.0.0.1.example"])
        assert.isTrue(yield* warned({ SERVE_HOST: host }), host)
    })
  )

  it.effect("is not one with a name and a password, or a token", () =>
    Effect.gen(function* () {
      const open = { SERVE_HOST: "0.0.0.0" }
      assert.isFalse(yield* warned({ ...open, REGISTRY_USERNAME: "n", REGISTRY_PASSWORD: "p" }))
      assert.isFalse(yield* warned({ ...open, REGISTRY_TOKEN: "t" }))
    })
  )
})

describe("a slow push", () => {
  const refused = (environment: Environment) =>
    Effect.map(read(environment), ({ serve, sweep }) => serveProblems(serve, sweep.uploadGrace).join("\n"))

  it.effect("does not count as abandoned in any configuration that serves", () =>
    Effect.gen(function* () {
      // A minute without a byte, and activity noted once a minute: before and after.
      assert.match(
        yield* refused({ GC_UPLOAD_GRACE: "179 seconds" }),
        /^GC_UPLOAD_GRACE: must be at least 3m /
      )
      assert.strictEqual(yield* refused({ GC_UPLOAD_GRACE: "180 seconds" }), "")
      const hasty = { SERVE_IDLE_TIMEOUT: "1 second", REGISTRY_UPLOAD_LEASE: "3 seconds" }
      assert.match(yield* refused({ ...hasty, GC_UPLOAD_GRACE: "2 seconds" }), /must be at least 3s /)
      assert.strictEqual(yield* refused({ ...hasty, GC_UPLOAD_GRACE: "3 seconds" }), "")
    })
  )

  it.effect("does not count as abandoned with the short waits of --try", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* refused(shortWaits), "")
    })
  )
})
