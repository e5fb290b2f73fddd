import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { migrationContract } from "./migrations.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  migrationContract(Databases.real)
})
