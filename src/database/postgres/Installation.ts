/** How the collector came to this catalogue. `migrate` records it, and it never changes afterwards. */
import { Effect } from "effect"
import type { Installation } from "../Database.ts"
import type { Sql } from "./Sql.ts"

/** Asks for the record. */
export const askInstallation = ({ sql, id }: Pick<Sql, "sql" | "id">) =>
  sql<{ existed: boolean }>`SELECT catalogue_existed AS existed FROM ${id.installation}`

/** Returns whether the catalogue existed before. A missing record counts as yes. */
export const catalogueExisted = (db: Sql) =>
  Effect.map(askInstallation(db), (rows) => rows[0]?.existed ?? true)

/** Returns the installation as the schema guard found it. */
export const installationOf = ({
  catalogueExisted,
  unannouncedWriters
}: {
  readonly catalogueExisted: boolean
  readonly unannouncedWriters: boolean
}): Installation => ({
  catalogueExisted,
  unannouncedWritersGuarded: unannouncedWriters
})

/** Records that no other program made the catalogue. */
export const recordOwnCatalogue = ({ sql, id }: Sql) =>
  sql`UPDATE ${id.installation} SET catalogue_existed = false WHERE catalogue_existed`
