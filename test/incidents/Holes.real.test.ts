import { describe } from "@effect/vitest"
import * as Databases from "../fixtures/Databases.ts"
import { peerHoles } from "./Holes.contract.ts"

describe.skipIf(!Databases.hasReal)("REAL_DATABASE_URL", () => {
  peerHoles(Databases.real)
})
