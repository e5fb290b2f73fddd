/**
 * Installing and removing the triggers that note losses of references, on tables that belong to their owners, so that
 * this happens only when asked for (`artifact-gc migrate --watch-references`).
 */
import { Effect } from "effect"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import { SchemaRefused } from "../../../../domain/SchemaRefused.ts"
import { make, qualified, quote, type Sql } from "../../Sql.ts"
import { catalogMissing } from "../../schema/Migrations.ts"
import { readReferences } from "../../schema/SchemaGuard.ts"
import {
  createFunction,
  dropFunction,
  giveWay,
  readFunctions,
  readSearchPath,
  tablesOf,
  uniqueBy
} from "../Triggers.ts"
import { functionPrefix, referencing, type WatchTrigger, watchTriggers } from "./Functions.ts"
import { isSame, readWatch } from "./Installed.ts"

/** What there was to do: `schema.table` of the triggers that were created and dropped. */
export interface WatchChange {
  readonly created: ReadonlyArray<string>
  readonly dropped: ReadonlyArray<string>
}

/**
 * Installs the triggers, or completes them where tables have come or gone; idempotent. The next sweep scans everything
 * once, for what was lost before. Fails with `Contended`, and has changed nothing, when a table is busy: its writers wait
 * for us for half a second at most.
 */
export const watchReferences = Effect.fn("Watching.watch")(function* (names: CatalogNames) {
  const db = yield* make(names)
  return yield* db.verb("migrate.watchReferences", db.transaction(Effect.andThen(giveWay(db), install(db))))
})

/** Removes them; idempotent. Sweeps scan everything again. */
export const unwatchReferences = Effect.fn("Watching.unwatch")(function* (names: CatalogNames) {
  const db = yield* make(names)
  return yield* db.verb(
    "migrate.unwatchReferences",
    db.transaction(
      Effect.gen(function* () {
        yield* giveWay(db)
        const installed = yield* readWatch(db)
        for (const name of yield* readFunctions(db, functionPrefix)) yield* dropFunction(db, name)
        // Without its triggers the queue would grow old and lie when they come back.
        yield* db.sql`DELETE FROM ${db.id.candidates}`
        return { created: [], dropped: tablesOf(installed) } satisfies WatchChange
      })
    )
  )
})

const install = Effect.fnUntraced(function* (db: Sql) {
  const { sql, id, names } = db
  const found = yield* readReferences(db)
  if (found === null) return yield* new SchemaRefused({ problems: [catalogMissing(names)] })
  const wanted = watchTriggers(names, [...found.keys, ...found.partitions])
  const searchPath = yield* readSearchPath(db, found.keys)
  for (const trigger of uniqueBy(wanted, (one) => one.function)) {
    yield* createFunction(db, trigger.function, trigger.body, trigger.usesOperators ? searchPath : null)
  }
  const installed = yield* readWatch(db)
  const created: Array<WatchTrigger> = []
  for (const trigger of uniqueBy(wanted, (one) => JSON.stringify([one.schema, one.table, one.function]))) {
    if (installed.some((one) => one.enabled && isSame(trigger, one))) continue
    yield* createTrigger(db, trigger)
    created.push(trigger)
  }
  const stale = installed.filter((one) => !wanted.some((trigger) => isSame(trigger, one)))
  for (const { schema, table, name } of stale) {
    yield* sql.unsafe(`DROP TRIGGER ${quote(name)} ON ${qualified(schema, table)}`)
  }
  for (const name of yield* readFunctions(db, functionPrefix)) {
    if (!wanted.some((one) => one.function === name)) yield* dropFunction(db, name)
  }
  // What was lost before a trigger was there is in no queue.
  if (created.length > 0) yield* sql`UPDATE ${id.scans} SET wanted = wanted + 1 WHERE name = 'orphans'`
  return { created: tablesOf(created), dropped: tablesOf(stale) } satisfies WatchChange
})

/** REPLACE, because one that is disabled is there and must be enabled again. */
const createTrigger = ({ sql, names }: Sql, { schema, table, name, event, ...trigger }: WatchTrigger) =>
  sql.unsafe(
    `CREATE OR REPLACE TRIGGER ${quote(name)} AFTER ${event} ON ${qualified(schema, table)}
       ${referencing[event]} FOR EACH STATEMENT
       EXECUTE FUNCTION ${qualified(names.collectorSchema, trigger.function)}()`
  )
