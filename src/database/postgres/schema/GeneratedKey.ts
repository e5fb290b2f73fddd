/**
 * A key column that PostgreSQL computes. The triggers against unannounced writers cannot work beside it: they
 * run before it is computed and would make each insert of collected content fail, and no verified copy could
 * become the row's key.
 */
import { Array as Arr, Effect } from "effect"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import { type SchemaProblem, SchemaRefused } from "../../../domain/SchemaRefused.ts"
import { make } from "../Sql.ts"
import { type Column, oidOf, readBlobsTable, readColumns } from "./BlobsTable.ts"

/** Returns the problem of such a column. Concerns only catalogues with the triggers. */
export const generatedKeyProblems = (
  names: CatalogNames,
  columns: ReadonlyArray<Column>
): ReadonlyArray<SchemaProblem> =>
  columns
    .filter(({ generated, name }) => generated && name === names.keyColumn)
    .map(({ name }) => ({
      kind: "GeneratedKey",
      table: `${names.schema}.${names.blobsTable}`,
      problem: `column ${name} is generated, so the triggers against unannounced writers would make inserts of collected content fail, and could never adopt it`,
      fix: "Use an ordinary key column that the writers fill, or do without these triggers (artifact-gc migrate --unguard-unannounced-writers)."
    }))

/** Fails with `SchemaRefused` if the key column is generated. Changes nothing. */
export const refuseGeneratedKey = Effect.fnUntraced(function* (names: CatalogNames, operation: string) {
  const db = yield* make(names)
  const read = Effect.gen(function* () {
    const table = yield* readBlobsTable(db)
    return table === null ? [] : generatedKeyProblems(names, yield* readColumns(db, oidOf(db, table.oid)))
  })
  const problems = yield* db.verb(operation, read)
  if (Arr.isReadonlyArrayNonEmpty(problems)) return yield* new SchemaRefused({ problems })
})
