import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { lockContract } from "./locks.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  lockContract(Databases.real)
})
