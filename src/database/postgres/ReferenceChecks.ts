/** The verbs of references: what sweeps remember of the foreign keys, and undeclared references. */
import { Effect, Ref } from "effect"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { References } from "../Database.ts"
import { compareKeys, forgetKeys, holdsRow, incomplete, missKeys, recall, setOf } from "./ReferenceMemory.ts"
import { instant, type Sql } from "./Sql.ts"
import type { Catalog, SchemaExtension } from "./schema/SchemaGuard.ts"
import { undeclared } from "./undeclared/Sniff.ts"
import { on, verbs } from "./Verbs.ts"

/** Returns the verbs of references. `known` is what `inspect` found. */
export const make = (
  db: Sql,
  known: Effect.Effect<Catalog, DatabaseError>,
  extensions: ReadonlyArray<SchemaExtension>
): Effect.Effect<References> =>
  Effect.map(Ref.make(false), (held) =>
    verbs<References>(db, "references", {
      check: (now, record, covered = []) =>
        Effect.flatMap(known, (catalog) => check(db, catalog, { extensions, covered }, now, record)),
      miss: on(db)(missKeys),
      forget: on(db)(forgetKeys),
      rememberSources: on(db)(rememberSources),
      missSources: on(db)(missSources),
      forgetSources: on(db)(forgetSources),
      // It never ends, so a process asks until the first yes.
      everHeld: Effect.flatMap(Ref.get(held), (isKnown) =>
        isKnown
          ? Effect.succeed(true)
          : Effect.flatMap(known, ({ keys }) => everHeld(db, keys)).pipe(
              Effect.tap((now) => Ref.set(held, now))
            )
      )
    })
  )

/** What the program says of columns without a foreign key. */
interface Declared {
  readonly extensions: ReadonlyArray<SchemaExtension>
  readonly covered: ReadonlyArray<string>
}

const check = Effect.fnUntraced(function* (
  db: Sql,
  { digest, keys, oid }: Catalog,
  { covered, extensions }: Declared,
  now: number,
  record: boolean
) {
  const memory = yield* recall(db)
  const changed = memory.keys !== setOf(keys) || memory.returned
  const { dropped, missing } = changed ? yield* compareKeys(db, keys, record) : { dropped: [], missing: [] }
  const isComplete = memory.keys === incomplete && missing.length === 0
  const firstHeld = !memory.held && (yield* holdsRow(db, keys))
  if (record && firstHeld) {
    yield* db.sql`UPDATE ${db.id.referenceChecks} SET held_at = ${instant(now)}::timestamptz`
  }
  const ours = extensions.flatMap((extension) => extension.tables?.(db.names) ?? [])
  const found = yield* undeclared(db, { blobs: oid, digest, keys, ours, covered }, memory, now, record)
  const sources = memory.sources.map(({ missing, name }) => ({ name, missingAt: missing }))
  return { keys: keys.length, missing, dropped, firstHeld, isComplete, sources, ...found }
})

const everHeld = Effect.fnUntraced(function* (db: Sql, keys: Catalog["keys"]) {
  const remembered = yield* db.sql`SELECT FROM ${db.id.referenceChecks} WHERE held_at IS NOT NULL`
  return remembered.length > 0 || (yield* holdsRow(db, keys))
})

const rememberSources = ({ id, sql }: Sql, names: ReadonlyArray<string>) =>
  Effect.asVoid(sql`
    INSERT INTO ${id.referenceSources} AS s (name)
    SELECT name FROM unnest(${[...new Set(names)]}::text[]) AS n (name) ORDER BY name COLLATE "C"
    ON CONFLICT (name) DO UPDATE SET missing_at = NULL WHERE s.missing_at IS NOT NULL`)

const missSources = ({ id, sql }: Sql, now: number, names: ReadonlyArray<string>) =>
  Effect.asVoid(sql`
    UPDATE ${id.referenceSources} SET missing_at = ${instant(now)}::timestamptz WHERE name = ANY(${names}::text[])`)

const forgetSources = ({ id, sql }: Sql, names: ReadonlyArray<string>) =>
  Effect.asVoid(sql`DELETE FROM ${id.referenceSources} WHERE name = ANY(${names}::text[])`)
