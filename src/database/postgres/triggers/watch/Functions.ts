/**
 * The triggers that note losses of references, as text.
 *
 * They fire once a statement and read its rows from a transition table, so deleting a million references
 * costs one insert of a million rows. Making the rows unique would cost a single row more than noting it
 * (measured 2026-11-25: 9 of 26 µs). The triggers only insert rows, into a table whose rows are never
 * updated. So a writer that changes a reference never waits for a collector, nor for another writer that
 * changes a reference to the same blob.
 */
import { createHash } from "node:crypto"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import { qualified, quote } from "../../Sql.ts"
import type { References, TriggerKey, WantedTrigger } from "../TriggerSet.ts"

/** Begins the names of these functions, and of no other function in the collector's schema. */
export const functionPrefix = "watch_"

/** Transition tables, by event. TRUNCATE has none. */
const transitionTables = {
  DELETE: "REFERENCING OLD TABLE AS gone",
  UPDATE: "REFERENCING OLD TABLE AS gone NEW TABLE AS come",
  INSERT: "REFERENCING NEW TABLE AS come",
  TRUNCATE: ""
}

/**
 * Returns every trigger that watches references. A partition has triggers of its own, for statements that
 * name it.
 */
export const watchTriggers = (
  names: CatalogNames,
  { keys, partitions }: References
): ReadonlyArray<WantedTrigger> => {
  const note = noteIn(names)
  const trigger = triggerOf(names)
  const pins = [names.collectorSchema, "pins"] as const
  return [
    trigger(
      [names.schema, names.blobsTable],
      "INSERT",
      note(`SELECT ${quote(names.digestColumn)} FROM come`)
    ),
    trigger(pins, "DELETE", note("SELECT digest FROM gone")),
    // A writer that adopts a blob ends its sighting, and may then refer to something else.
    trigger([names.collectorSchema, "orphans"], "DELETE", note("SELECT digest FROM gone")),
    trigger(pins, "UPDATE", note("SELECT digest FROM gone EXCEPT SELECT digest FROM come")),
    ...[...keys, ...partitions].flatMap((key) => referenceTriggers(names, key))
  ]
}

const referenceTriggers = (
  names: CatalogNames,
  { schema, table, column, referenced_column }: TriggerKey
): ReadonlyArray<WantedTrigger> => {
  const note = noteIn(names)
  const trigger = triggerOf(names)
  const of = (transition: string) =>
    `SELECT ${quote(column)} FROM ${transition} WHERE ${quote(column)} IS NOT NULL`
  // EXCEPT compares as the type does. Only this look-up uses an operator, which is found by the search path.
  const looksUp = referenced_column !== names.digestColumn
  const toDigests = (query: string) =>
    looksUp
      ? `SELECT b.${quote(names.digestColumn)} FROM ${qualified(names.schema, names.blobsTable)} b WHERE b.${quote(referenced_column)} IN (${query})`
      : query
  const scans = qualified(names.collectorSchema, "scans")
  const at = [schema, table] as const
  return [
    trigger(at, "DELETE", note(toDigests(of("gone"))), looksUp),
    trigger(at, "UPDATE", note(toDigests(`${of("gone")} EXCEPT ${of("come")}`)), looksUp),
    // TRUNCATE does not say which rows it removed, so a scan of everything is made due.
    trigger(at, "TRUNCATE", `UPDATE ${scans} SET wanted = wanted + 1 WHERE name = 'orphans';`, true)
  ]
}

const noteIn = (names: CatalogNames) => (query: string) =>
  `INSERT INTO ${qualified(names.collectorSchema, "candidates")} (digest) ${query};`

const triggerOf =
  (names: CatalogNames) =>
  (
    [schema, table]: readonly [schema: string, table: string],
    event: keyof typeof transitionTables,
    body: string,
    usesSearchPath = false
  ): WantedTrigger => {
    const identity = createHash("sha256").update(body).digest("hex").slice(0, 12)
    const name = `${functionPrefix}${event.toLowerCase()}_${identity}`
    return {
      schema,
      table,
      function: name,
      body: `\nBEGIN\n  ${body}\n  RETURN NULL;\nEND`,
      usesSearchPath,
      name: `zz_${name}_${names.collectorSchema}`,
      event: `AFTER ${event}`,
      level: `${transitionTables[event]} FOR EACH STATEMENT`
    }
  }
