import { describe } from "@effect/vitest"
import * as Databases from "../../fixtures/Databases.ts"
import { registryDatabaseContract } from "./RegistryDatabase.contract.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  registryDatabaseContract(Databases.real.name, Databases.postgres(Databases.real))
})
