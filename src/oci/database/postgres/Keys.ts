/** The secrets that replicas share, in a table that only `serve` reads. */
import { Effect } from "effect"
import { instant } from "../../../database/postgres/Sql.ts"
import { on, verbs } from "../../../database/postgres/Verbs.ts"
import type { Keys } from "../contract/Keys.ts"
import type { RegistrySql } from "./RegistrySql.ts"

/** Returns the verbs of shared secrets. */
export const make = (db: RegistrySql): Keys => verbs<Keys>(db, "keys", { tokens: on(db)(tokens) })

/** The insertion waits for another one that is under way, and the second statement then sees its key. */
const tokens = Effect.fnUntraced(function* ({ id, sql }: RegistrySql, now: number, fresh: Uint8Array) {
  yield* sql`
    INSERT INTO ${id.keys} (name, secret, created_at) VALUES ('tokens', ${Buffer.from(fresh)}, ${instant(now)})
    ON CONFLICT (name) DO NOTHING`
  const [row] = yield* sql<{ secret: Uint8Array }>`SELECT secret FROM ${id.keys} WHERE name = 'tokens'`
  return row === undefined ? fresh : new Uint8Array(row.secret)
})
