/** Runs the statements of one migration. */
import { Effect } from "effect"
import type { Sql } from "../../Sql.ts"

/** Runs statements one after the other. */
export const statements = ({ sql }: Sql, ...list: ReadonlyArray<string>) =>
  Effect.forEach(list, (statement) => sql.unsafe(statement), { discard: true })
