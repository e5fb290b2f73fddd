/** The database layer of the binary, with its schema inspected and a connection open. */
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { CollectorDatabase } from "../../../src/database/Database.ts"
import * as Postgres from "../../../src/database/Postgres.ts"
import type { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { recorder, recordingTracer, type Statements } from "./Recorder.ts"

/** Runs work on the database. */
export interface Services {
  /** Returns the result of `work`, and the statements it executed if they are recorded. */
  readonly run: <A>(
    work: Effect.Effect<A, DatabaseError, CollectorDatabase>
  ) => Promise<A & { readonly statements: Statements }>
  /** Closes the connections. */
  readonly close: () => Promise<void>
}

/** Opens the database of a task. */
export const open = async (task: {
  readonly databaseUrl: string
  readonly records: boolean
}): Promise<Services> => {
  const client = Postgres.layerClient({ url: Redacted.make(task.databaseUrl) })
  const runtime = ManagedRuntime.make(Layer.provide(Postgres.layer(), client))
  await runtime.runPromise(Effect.flatMap(CollectorDatabase, (database) => database.inspect))
  const records = recorder(task.records)
  return {
    run: async (work) => {
      const done = await runtime.runPromise(
        task.records ? Effect.withTracer(work, recordingTracer(records)) : work
      )
      return { ...done, statements: records.statements }
    },
    close: () => runtime.dispose()
  }
}
