import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { unannouncedWritersContract } from "./UnannouncedWriters.contract.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  unannouncedWritersContract(Databases.real)
})
