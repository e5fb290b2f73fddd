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
      check: (now, record) => Effect.flatMap(known, (catalog) => check(db, catalog, extensions, now, record)),
      miss: on(db)(missKeys),
      forget: on(db)(forgetKeys),
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

const check = Effect.fnUntraced(function* (
  db: Sql,
  { digest, keys, oid }: Catalog,
  extensions: ReadonlyArray<SchemaExtension>,
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
  const found = yield* undeclared(db, { blobs: oid, digest, keys, ours }, memory, now, record)
  return { keys: keys.length, missing, dropped, firstHeld, isComplete, ...found }
})

const everHeld = Effect.fnUntraced(function* (db: Sql, keys: Catalog["keys"]) {
  const remembered = yield* db.sql`SELECT FROM ${db.id.referenceChecks} WHERE held_at IS NOT NULL`
  return remembered.length > 0 || (yield* holdsRow(db, keys))
})
