import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { twinContract } from "./Twin.contract.ts"

describe("Database in memory", () => {
  twinContract(Databases.embedded.name, Databases.postgres(Databases.embedded))
})
