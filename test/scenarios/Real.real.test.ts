/**
 * The scenarios on real servers, from the variables `REAL_DATABASE_URL` and `REAL_S3_*` (tools/servers sets
 * them). Without these variables the tests are skipped, and a skipped test says so.
 */
import { describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Databases from "../fixtures/Databases.ts"
import { hasStore, ownStore } from "../fixtures/RealStore.ts"
import { dialect } from "../fixtures/s3/RealServer.ts"
import { sameAsMemory } from "./SameAsMemory.contract.ts"

if (Databases.hasReal && hasStore) {
  sameAsMemory(
    "PostgreSQL and S3",
    {
      layer: Layer.merge(Databases.postgres(Databases.real), ownStore),
      // S3 dates objects to the second, by its own clock.
      later: TestClock.withLive(Effect.sleep("2100 millis")),
      nests: dialect.nests === true
    },
    { start: Date.now, ownClock: true }
  )
} else {
  describe("on PostgreSQL and S3", () => {
    it.skip("needs REAL_DATABASE_URL and REAL_S3_ENDPOINT; npm run test:real starts both", () => undefined)
  })
}
