/** The module `FaultyDatabase` of `artifact-gc/testing`. */

export type { DatabaseFault, DatabaseScript, Verb, VerbOf } from "../testing/FaultyDatabase.ts"
export { layer, script } from "../testing/FaultyDatabase.ts"
