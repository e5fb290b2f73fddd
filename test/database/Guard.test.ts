import { describe } from "@effect/vitest"
import { access } from "./guard/Access.ts"
import { audit } from "./guard/Audit.ts"
import { columns } from "./guard/Columns.ts"
import { foreign } from "./guard/Foreign.ts"
import { keys } from "./guard/Keys.ts"

describe("The schema guard", () => {
  keys()
  columns()
  access()
})
describe("Beside the guard", () => {
  foreign()
  audit()
})
