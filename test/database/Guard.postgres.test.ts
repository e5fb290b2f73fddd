import { describe } from "@effect/vitest"
import { access } from "./guard/Access.ts"
import { audit } from "./guard/Audit.ts"
import { catalogues } from "./guard/Catalogues.ts"
import { columns } from "./guard/Columns.ts"
import { keys } from "./guard/Keys.ts"
import { registry } from "./guard/Registry.ts"

describe("The schema guard", () => {
  keys()
  columns()
  access()
  registry()
})
describe("Beside the guard", () => {
  catalogues()
  audit()
})
