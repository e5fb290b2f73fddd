import { Effect, Layer } from "effect"
import { commitServices, ownTable, postgresAttachments } from "../fixtures/Attachments.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { inPostgres } from "../fixtures/Tables.ts"
import { commitContract } from "./Commit.contract.ts"

const layer = () =>
  Layer.unwrap(
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      return commitServices(
        Layer.mergeAll(AllDatabases.onClient(), inPostgres, postgresAttachments).pipe(
          Layer.provideMerge(ownTable),
          Layer.provideMerge(Databases.client(place, { maxConnections: 4 }))
        )
      )
    })
  )

commitContract("embedded PostgreSQL", layer)
