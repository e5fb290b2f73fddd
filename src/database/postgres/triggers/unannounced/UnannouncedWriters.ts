/**
 * Installing and removing the guard against foreign writers: triggers on the catalogue's tables, which belong to their
 * owners, so that this happens only when asked for (`artifact-gc migrate --guard-foreign-writers`).
 *
 * Triggers come and go under a lock that no insert and no purge gets past. A purge reads under that lock whether there
 * is a guard (Guard's fingerprint), so none that began without it ends beside it and leaves no tombstone.
 */
import { Clock, Effect } from "effect"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import type { ObjectKey } from "../../../../domain/ObjectKey.ts"
import { SchemaRefused } from "../../../../domain/SchemaRefused.ts"
import { instant, make, qualified, quote, type Sql } from "../../Sql.ts"
import type { DigestType } from "../../schema/DigestType.ts"
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
import { digestLock, functionPrefix, type GuardTrigger, guardTriggers, keyLock } from "./Functions.ts"
import { readTriggers } from "./Installed.ts"

/** What there was to do, table by table. */
export interface GuardChange {
  /** `schema.table` of the triggers that were created. */
  readonly created: ReadonlyArray<string>
  /** Of those that were dropped. */
  readonly dropped: ReadonlyArray<string>
}

/**
 * Installs the guard, or completes it where tables have come or gone; idempotent. Fails with `Contended`, and has
 * changed nothing, when a table is busy: inserts wait for us for half a second at most, and then it is we who give way.
 */
export const guardForeignWriters = Effect.fn("Foreign.guard")(function* (names: CatalogNames) {
  const db = yield* make(names)
  const now = yield* Clock.currentTimeMillis
  return yield* db.verb(
    "migrate.guardForeignWriters",
    db.transaction(Effect.andThen(giveWay(db), install(db, now)))
  )
})

/** Removes the guard; idempotent. Tombstones and suspicions stay, for when it is installed again. */
export const unguardForeignWriters = Effect.fn("Foreign.unguard")(function* (names: CatalogNames) {
  const db = yield* make(names)
  return yield* db.verb(
    "migrate.unguardForeignWriters",
    db.transaction(
      Effect.gen(function* () {
        yield* giveWay(db)
        const dropped = (yield* readTriggers(db)).filter(({ inherited }) => !inherited)
        for (const name of yield* readFunctions(db, functionPrefix)) yield* dropFunction(db, name)
        return { created: [], dropped: tablesOf(dropped) } satisfies GuardChange
      })
    )
  )
})

const install = Effect.fnUntraced(function* (db: Sql, now: number) {
  const { names } = db
  const found = yield* readReferences(db)
  if (found === null) return yield* new SchemaRefused({ problems: [catalogMissing(names)] })
  const wanted = guardTriggers(names, found.digest, found.keys)
  const searchPath = yield* readSearchPath(db, found.keys)
  for (const one of uniqueBy(wanted, (trigger) => trigger.function)) {
    yield* createFunction(db, one.function, one.body, searchPath)
  }
  const installed = yield* readTriggers(db)
  const same = (a: GuardTrigger, b: (typeof installed)[number]) =>
    a.schema === b.schema && a.table === b.table && a.function === b.function
  const created: Array<GuardTrigger> = []
  for (const trigger of uniqueBy(wanted, (one) => JSON.stringify([one.schema, one.table, one.function]))) {
    if (installed.some((one) => same(trigger, one) && one.enabled)) continue
    yield* createTrigger(db, trigger)
    created.push(trigger)
  }
  const stale = installed.filter((one) => !one.inherited && !wanted.some((trigger) => same(trigger, one)))
  for (const { schema, table, name } of stale) {
    yield* db.sql.unsafe(`DROP TRIGGER ${quote(name)} ON ${qualified(schema, table)}`)
  }
  for (const name of yield* readFunctions(db, functionPrefix)) {
    if (!wanted.some((one) => one.function === name)) yield* dropFunction(db, name)
  }
  yield* buryJournaled(db, found.digest, now)
  return { created: tablesOf(created), dropped: tablesOf(stale) } satisfies GuardChange
})

/**
 * What is journaled already was killed without a tombstone. A purge that is in flight has committed by now, because
 * the trigger on blobs waited for it.
 */
const buryJournaled = Effect.fnUntraced(function* (db: Sql, digest: DigestType, now: number) {
  const { sql, id, raw } = db
  yield* sql`
    INSERT INTO ${id.tombstones} (digest, since)
    SELECT DISTINCT digest::${raw(digest.type)}, ${instant(now)}::timestamptz FROM ${id.journal} WHERE digest IS NOT NULL
    ON CONFLICT DO NOTHING`
  yield* sql`
    INSERT INTO ${id.buriedKeys} (object_key, since)
    SELECT object_key, ${instant(now)}::timestamptz FROM ${id.journal} WHERE digest IS NULL
    ON CONFLICT DO NOTHING`
})

/** REPLACE, because one that is disabled is there and must be enabled again. */
const createTrigger = ({ sql, names }: Sql, trigger: GuardTrigger) =>
  sql.unsafe(
    `CREATE OR REPLACE TRIGGER ${quote(trigger.name)} BEFORE ${trigger.event}
       ON ${qualified(trigger.schema, trigger.table)} FOR EACH ROW
       EXECUTE FUNCTION ${qualified(names.collectorSchema, trigger.function)}()`
  )

/**
 * Those of `digests` that no foreign writer is inserting, locked against such until the end of the transaction. What
 * is read about them belongs into the next statement, whose snapshot is newer than the locks.
 */
export const lockDigests = ({ sql, raw }: Sql, type: DigestType, digests: ReadonlyArray<string>) =>
  digests.length === 0
    ? Effect.succeed([])
    : Effect.map(
        sql<{ digest: string }>`
          SELECT d AS digest FROM unnest(${digests}::text[]) d
          WHERE pg_try_advisory_xact_lock(${raw(digestLock(type, `d::${type.type}`))})`,
        (rows) => rows.map((row) => row.digest)
      )

/** The same of keys that foreign writers may use again. */
export const lockKeys = ({ sql, raw }: Sql, keys: ReadonlyArray<ObjectKey>) =>
  Effect.map(
    sql<{ key: string }>`
      SELECT k AS key FROM unnest(${keys}::text[]) k WHERE pg_try_advisory_xact_lock(${raw(keyLock("k"))})`,
    (rows) => rows.map((row) => row.key as ObjectKey)
  )
