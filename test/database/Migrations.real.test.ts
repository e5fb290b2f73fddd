import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { migrationContract } from "./Migrations.contract.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  migrationContract(Databases.real)
})
