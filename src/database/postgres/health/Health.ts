/** The state of a PostgreSQL server, for the command `doctor`. */
import { Effect, Layer } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import { DatabaseHealth } from "../../contract/Health.ts"
import type { SessionOptions } from "../Session.ts"
import { make } from "../Sql.ts"
import { verbs } from "../Verbs.ts"
import { pooling, rights, server } from "./Server.ts"
import { collations, horizon, indexes, tables } from "./Tables.ts"

/** Provides the state of the database on a client that the caller provides. Each question is asked once. */
export const layerHealth = (
  names: CatalogNames,
  options: SessionOptions = {}
): Layer.Layer<DatabaseHealth, never, SqlClient.SqlClient> =>
  Layer.effect(
    DatabaseHealth,
    Effect.gen(function* () {
      const client = yield* SqlClient.SqlClient
      const db = yield* make(names, options)
      return DatabaseHealth.of(
        verbs<DatabaseHealth["Service"]>(
          db,
          "health",
          {
            server: server(db),
            pooling: pooling(client),
            tables: tables(db),
            indexes: indexes(db),
            collations: collations(db),
            horizon: horizon(db),
            rights: rights(db)
          },
          // A person waits for the answer, and a failure is one.
          {
            server: "once",
            pooling: "once",
            tables: "once",
            indexes: "once",
            collations: "once",
            horizon: "once",
            rights: "once"
          }
        )
      )
    })
  )
