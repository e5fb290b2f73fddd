/** The table of faults on real servers, named by `REAL_DATABASE_URL` and `REAL_S3_*` (tools/servers sets them). */
import { describe, it } from "@effect/vitest"
import { Layer } from "effect"
import * as Databases from "../fixtures/Databases.ts"
import { hasStore, ownStore } from "../fixtures/RealStore.ts"
import { effectiveFaults, faultTable } from "./faults.ts"

if (Databases.hasReal && hasStore) {
  faultTable(
    "PostgreSQL and S3",
    Layer.merge(Databases.postgres(Databases.real), ownStore),
    effectiveFaults,
    120_000
  )
} else {
  describe("on PostgreSQL and S3, a writer", () => {
    it.skip("needs REAL_DATABASE_URL and REAL_S3_ENDPOINT; npm run test:real starts both", () => undefined)
  })
}
