/** The faults of a repository on the PostgreSQL that `REAL_DATABASE_URL` names (tools/servers.ts sets it). */
import { describe, it } from "@effect/vitest"
import { Layer } from "effect"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { effectiveFaults, registerFaultTable } from "../../fixtures/FaultTable.ts"
import { repositoryFaults } from "./Faults.contract.ts"

if (Databases.hasReal) {
  await registerFaultTable(repositoryFaults, {
    name: "PostgreSQL",
    backend: Layer.merge(Databases.postgres(Databases.real), MemoryStorage.layer),
    faults: effectiveFaults,
    timeout: 120_000
  })
} else {
  describe("on PostgreSQL, a repository", () => {
    it.skip("needs REAL_DATABASE_URL; tools/servers.ts starts one", () => undefined)
  })
}
