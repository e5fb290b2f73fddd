/**
 * How a running collector learns of suspects at once: by NOTIFY, which the trigger sends and PostgreSQL
 * delivers at the commit, and by a look every two seconds.
 *
 * The look is of a table that is nearly always empty. It serves where no notification arrives: behind a
 * transaction pooler, in a pool too small to give a connection to a listener, and where prepared transactions
 * are allowed, which must not have sent any.
 */
import type { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Queue } from "effect"
import type { DatabaseError } from "../../../../domain/DatabaseError.ts"
import { onProcessClock, type Sql } from "../../Sql.ts"
import type { Catalog } from "../../schema/SchemaGuard.ts"
import { channel } from "./Functions.ts"

const lookEvery = Duration.seconds(2)

/** A listener keeps a connection, and the others need more than one. */
const connectionsForListening = 4

/** Returns a text that changes when a suspicion is added, or null without any. */
const readSuspicions = ({ sql, id }: Sql) =>
  Effect.map(
    sql<{ found: string | null }>`
      SELECT max(id) || ' ' || count(*) AS found FROM ${id.suspects} HAVING count(*) > 0`,
    (rows) => rows[0]?.found ?? null
  )

/** Completes when there are suspicions other than `seen`. Looks by the process's clock: a writer commits in real time. */
export const arrival = (
  db: Sql,
  catalog: Effect.Effect<Catalog, DatabaseError>,
  client: PgClient.PgClient | null,
  seen: string | null
) => {
  const unseen = Effect.map(readSuspicions(db), (found) => (found === seen ? null : found))
  const isGuarded = Effect.map(catalog, ({ unannouncedWriters }) => unannouncedWriters)
  return Effect.scoped(
    Effect.gen(function* () {
      // Before the guard has passed, nothing is known.
      while (!(yield* Effect.orElseSucceed(isGuarded, () => false))) yield* Effect.sleep(lookEvery)
      // The listener first, so that a suspicion between the first look and LISTEN is not missed.
      const notified = yield* listen(db, client)
      while (true) {
        const found = yield* unseen
        if (found !== null) return found
        yield* Effect.raceFirst(notified, Effect.sleep(lookEvery))
      }
    })
  ).pipe(onProcessClock)
}

/** Listens until the scope ends. Returns what completes at each notification for this collector's schema. */
const listen = Effect.fnUntraced(function* ({ names }: Sql, client: PgClient.PgClient | null) {
  const connections =
    (client?.config as { readonly maxConnections?: number } | undefined)?.maxConnections ?? 10
  if (client === null || connections < connectionsForListening) return Effect.never
  const queue = yield* client.listen(channel)
  return Effect.repeat(Queue.take(queue), { until: ({ payload }) => payload === names.collectorSchema })
})
