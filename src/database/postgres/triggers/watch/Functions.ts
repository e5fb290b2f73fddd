/**
 * The triggers by which changes are noted, as text.
 *
 * They fire once a statement and read its rows from a transition table, so that deleting a million references costs one
 * insert of as many rows; to make them unique would cost a single row more than noting it (measured 2026-11-25: 9 of
 * 26 µs). They only add rows to a table that nobody updates: whoever changes something never waits for a
 * collector, nor for another who changes something about the same blob.
 */
import { createHash } from "node:crypto"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import { qualified, quote } from "../../Sql.ts"

/** A foreign key to blobs, as far as its triggers must know it. */
export interface WatchedKey {
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly referenced_column: string
}

/** A trigger with its function, which may serve several tables. */
export interface WatchTrigger {
  readonly schema: string
  readonly table: string
  /** Unquoted, in the collector's schema. */
  readonly function: string
  readonly body: string
  /** Unquoted. */
  readonly name: string
  /** From `AFTER` to before `FOR EACH STATEMENT`. */
  readonly event: "DELETE" | "UPDATE" | "INSERT" | "TRUNCATE"
  /** Whether its function uses operators, which are looked up by the search path. EXCEPT compares as the type does. */
  readonly usesOperators: boolean
}

/** What the names of these functions, and of nothing else in the collector's schema, begin with. */
export const functionPrefix = "watch_"

/** Transition tables, by event: TRUNCATE has none. */
export const referencing: Record<WatchTrigger["event"], string> = {
  DELETE: "REFERENCING OLD TABLE AS gone",
  UPDATE: "REFERENCING OLD TABLE AS gone NEW TABLE AS come",
  INSERT: "REFERENCING NEW TABLE AS come",
  TRUNCATE: ""
}

/** Every trigger that watching consists of. A partition has its own, for statements that name it. */
export const watchTriggers = (
  names: CatalogNames,
  keys: ReadonlyArray<WatchedKey>
): ReadonlyArray<WatchTrigger> => {
  const candidates = qualified(names.collectorSchema, "candidates")
  const note = (query: string) => `INSERT INTO ${candidates} (digest) ${query};`
  const trigger = (
    schema: string,
    table: string,
    event: WatchTrigger["event"],
    body: string,
    usesOperators = false
  ): WatchTrigger => {
    const identity = createHash("sha256").update(body).digest("hex").slice(0, 12)
    const name = `${functionPrefix}${event.toLowerCase()}_${identity}`
    return {
      schema,
      table,
      event,
      usesOperators,
      function: name,
      body: `\nBEGIN\n  ${body}\n  RETURN NULL;\nEND`,
      name: `zz_${name}_${names.collectorSchema}`
    }
  }
  const digest = quote(names.digestColumn)
  return [
    trigger(names.schema, names.blobsTable, "INSERT", note(`SELECT ${digest} FROM come`)),
    trigger(names.collectorSchema, "pins", "DELETE", note("SELECT digest FROM gone")),
    // Whoever holds a blob ends its sighting, and may in the end refer to something else.
    trigger(names.collectorSchema, "orphans", "DELETE", note("SELECT digest FROM gone")),
    trigger(
      names.collectorSchema,
      "pins",
      "UPDATE",
      note("SELECT digest FROM gone EXCEPT SELECT digest FROM come")
    ),
    ...keys.flatMap(({ schema, table, column, referenced_column }) => {
      const of = (transition: string) =>
        `SELECT ${quote(column)} FROM ${transition} WHERE ${quote(column)} IS NOT NULL`
      const isForeign = referenced_column !== names.digestColumn
      const toDigests = (query: string) =>
        !isForeign
          ? query
          : `SELECT b.${digest} FROM ${qualified(names.schema, names.blobsTable)} b WHERE b.${quote(referenced_column)} IN (${query})`
      const lost = `${of("gone")} EXCEPT ${of("come")}`
      return [
        trigger(schema, table, "DELETE", note(toDigests(of("gone"))), isForeign),
        trigger(schema, table, "UPDATE", note(toDigests(lost)), isForeign),
        // What was in it nobody can tell any more: everything is looked at once.
        trigger(
          schema,
          table,
          "TRUNCATE",
          `UPDATE ${qualified(names.collectorSchema, "scans")} SET wanted = wanted + 1 WHERE name = 'orphans';`,
          true
        )
      ]
    })
  ]
}
