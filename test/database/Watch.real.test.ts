import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { watchContract } from "./Watch.contract.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  watchContract(Databases.real)
})
