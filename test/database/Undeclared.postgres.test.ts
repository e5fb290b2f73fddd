import { describe } from "@effect/vitest"
import { cases } from "./undeclared/Cases.ts"
import { catalogues } from "./undeclared/Catalogues.ts"
import { firstReference } from "./undeclared/FirstReference.ts"
import { memory } from "./undeclared/Memory.ts"
import { missingKeys } from "./undeclared/MissingKeys.ts"

describe("undeclared references", () => {
  cases()
  catalogues()
  memory()
})
describe("foreign keys that disappear", missingKeys)
describe("a catalogue without references", firstReference)
