import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { databaseContract } from "./Database.contract.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  databaseContract(Databases.real.name, Databases.postgres(Databases.real))
})
