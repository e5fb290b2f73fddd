/** What a network may do to the requests to the database and the store. */
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Verb } from "../FaultyDatabase.ts"
import type { Operation } from "../FaultyStorage.ts"
import type { Traits } from "./Network.ts"

/** Requests that a network or an SDK may send twice. A transaction is never among them. */
const repeatable: ReadonlySet<string> = new Set<Operation>(["put", "delete", "abort", "copy"])

/** Requests whose answer may be out of date before the process sends its next one. */
const readThenAct: ReadonlySet<string> = new Set<Verb | Operation>([
  "orphans.find",
  "orphans.purge",
  "blobs.adopt",
  "blobs.locate",
  "blobs.owned",
  "blobs.unpin",
  "blobs.intend",
  "put",
  "audit.lookup",
  "journal.claim",
  "list",
  "multiparts"
])

const isReadThenAct: Traits = { isReadThenAct: true }
const isRepeatable: Traits = { isRepeatable: true }
const both: Traits = { isRepeatable: true, isReadThenAct: true }
const none: Traits = {}

/** Returns the traits of a request. */
export const traitsOf = (verb: string, args: ReadonlyArray<unknown>): Traits => {
  if (verb === "delete")
    return { isRepeatable: true, faultFactor: 4, keys: args[0] as ReadonlyArray<ObjectKey> }
  if (readThenAct.has(verb)) return repeatable.has(verb) ? both : isReadThenAct
  return repeatable.has(verb) ? isRepeatable : none
}
