/**
 * The faults of a writer on real servers, named by `REAL_DATABASE_URL` and `REAL_S3_*` (tools/servers.ts sets
 * them).
 */
import { describe, it } from "@effect/vitest"
import { Layer } from "effect"
import * as Databases from "../fixtures/Databases.ts"
import { effectiveFaults, registerFaultTable } from "../fixtures/FaultTable.ts"
import { hasStore, ownStore } from "../fixtures/RealStore.ts"
import { writerFaults } from "./Faults.contract.ts"

if (Databases.hasReal && hasStore) {
  await registerFaultTable(writerFaults, {
    name: "PostgreSQL and S3",
    backend: Layer.merge(Databases.postgres(Databases.real), ownStore),
    faults: effectiveFaults,
    timeout: 120_000
  })
} else {
  describe("on PostgreSQL and S3, a writer", () => {
    it.skip("needs REAL_DATABASE_URL and REAL_S3_ENDPOINT; tools/servers.ts starts both", () => undefined)
  })
}
