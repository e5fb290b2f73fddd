/** The same on the PostgreSQL that `REAL_DATABASE_URL` names (tools/servers sets it). */
import { describe, it } from "@effect/vitest"
import { Layer } from "effect"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { effectiveFaults, faultTable } from "./faults.ts"

if (Databases.hasReal) {
  faultTable(
    "PostgreSQL",
    Layer.merge(Databases.postgres(Databases.real), MemoryStorage.layer),
    effectiveFaults,
    120_000
  )
} else {
  describe("on PostgreSQL, a repository", () => {
    it.skip("needs REAL_DATABASE_URL; npm run test:real starts one", () => undefined)
  })
}
