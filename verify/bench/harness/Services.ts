/** The collector's database as the binary has it, inspected and with a connection open. */
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { CollectorDatabase } from "../../../src/database/Database.ts"
import * as Postgres from "../../../src/database/Postgres.ts"
import type { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { listening, recorder, type Statements } from "./Recorder.ts"

export interface Services {
  /** Answers what `work` did, and which statements that took if they are recorded. */
  readonly run: <A>(
    work: Effect.Effect<A, DatabaseError, CollectorDatabase>
  ) => Promise<A & { readonly statements: Statements }>
  readonly close: () => Promise<void>
}

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
      const done = await runtime.runPromise(task.records ? Effect.withTracer(work, listening(records)) : work)
      return { ...done, statements: records.statements }
    },
    close: () => runtime.dispose()
  }
}
