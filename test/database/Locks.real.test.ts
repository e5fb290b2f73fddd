import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { lockContract } from "./Locks.contract.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  lockContract(Databases.real)
})
