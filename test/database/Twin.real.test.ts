import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { twinContract } from "./Twin.contract.ts"

describe.skipIf(!Databases.hasReal)("Database in memory", () => {
  twinContract(Databases.real.name, Databases.postgres(Databases.real))
})
