/** How the collector came to this catalogue. `migrate` records it, and it never changes afterwards. */
import { Effect } from "effect"
import type { Installation } from "../Database.ts"
import type { Sql } from "./Sql.ts"
import type { Catalog } from "./schema/SchemaGuard.ts"

/** Returns the record. A missing one counts as a catalogue that existed before. */
export const installation = ({ sql, id }: Sql, { unannouncedWriters }: Catalog) =>
  Effect.map(
    sql<{ existed: boolean }>`SELECT catalogue_existed AS existed FROM ${id.installation}`,
    (rows): Installation => ({
      catalogueExisted: rows[0]?.existed ?? true,
      unannouncedWritersGuarded: unannouncedWriters
    })
  )

/** Records that no other program made the catalogue. */
export const recordOwnCatalogue = ({ sql, id }: Sql) =>
  sql`UPDATE ${id.installation} SET catalogue_existed = false WHERE catalogue_existed`
