/** How the processes of a simulation reach the host's own tables: each call, and each commit, is a request. */
import { Effect, Exit, Option } from "effect"
import {
  begin,
  commit,
  type HostTables,
  HostTransaction,
  type OpenTransaction,
  rollback,
  type State
} from "../../database/Memory.ts"
import { DatabaseError } from "../../domain/DatabaseError.ts"
import { gate } from "./Gate.ts"
import type { Kernel } from "./Kernel.ts"
import type { Process } from "./Process.ts"
import { simulated } from "./StorageGate.ts"

/** Returns the host's tables as a process reaches them. */
export const gateHostTables = (
  tables: HostTables["Service"],
  rows: State,
  process: Process,
  { network, perform }: Pick<Kernel, "network" | "perform">
): HostTables["Service"] => {
  const failure = (method: string) =>
    new DatabaseError({ operation: `tables.${method}`, reason: "Unavailable", detail: simulated })

  /** The server rolls back once it notices that the connection is lost. Until then rows stay locked. */
  const lose = (transaction: OpenTransaction) => {
    network.late.push({
      process,
      verb: "tables.rollback",
      args: [],
      traits: {},
      execute: () => perform(rollback(rows, transaction)),
      answer: () => {},
      unknown: null
    })
  }

  const end = (transaction: OpenTransaction, commits: boolean) => {
    const verb = commits ? "tables.commit" : "tables.rollback"
    const effect = commits ? commit(rows, transaction) : rollback(rows, transaction)
    const unknown = failure(commits ? "commit" : "rollback")
    return Effect.tapError(network.send({ process, verb, args: [], effect, unknown }), () =>
      Effect.sync(() => lose(transaction))
    )
  }

  const outermost = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
    const { onKill } = process
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        const transaction = begin(rows)
        process.onKill = () => {
          onKill?.()
          lose(transaction)
        }
        return transaction
      }),
      (transaction) => Effect.provideService(effect, HostTransaction, transaction),
      (transaction, exit) =>
        Effect.ensuring(
          end(transaction, Exit.isSuccess(exit)),
          Effect.sync(() => {
            process.onKill = onKill
          })
        )
    )
  }

  return {
    ...gate({ ...tables }, "tables", { failure }),
    transaction: (effect) =>
      Effect.flatMap(Effect.serviceOption(HostTransaction), (open) =>
        Option.isSome(open) ? tables.transaction(effect) : outermost(effect)
      )
  }
}
