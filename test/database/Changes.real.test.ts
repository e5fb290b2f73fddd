import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { changeContract } from "./Locks.contract.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  changeContract(Databases.real)
})
