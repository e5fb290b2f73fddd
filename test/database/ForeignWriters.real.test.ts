import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { foreignContract } from "./foreign.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  foreignContract(Databases.real)
})
