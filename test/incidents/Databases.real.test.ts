import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { databaseIncidents } from "./Databases.contract.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  databaseIncidents(Databases.real)
})
