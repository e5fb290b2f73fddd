/** How the processes of a simulation reach a database in memory: each verb waits in the network. */
import { type Context, Effect, Option } from "effect"
import { HostTransaction } from "../../database/Memory.ts"
import type { DatabaseFailure } from "../../domain/DatabaseError.ts"
import * as Faults from "../Faults.ts"
import { type VerbOf, wrap } from "../FaultyDatabase.ts"
import { Caller } from "./Caller.ts"
import type { Network } from "./Network.ts"
import type { Process } from "./Process.ts"

const hasStatements = (arg: unknown): boolean =>
  typeof arg === "object" && arg !== null && "commit" in arg && arg.commit !== undefined

/** Changes the work of a verb on the server, e.g. to note what is on the disk. */
export type OnServer = <A, E>(verb: string, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** Returns `service` as a process reaches it. `onServer` changes the work of each verb. */
export const gateDatabase = <Service extends object>(
  service: Service,
  process: Process,
  network: Network,
  onServer: OnServer = (_, effect) => effect
): Service =>
  wrap(service, {
    ...Faults.make<VerbOf<Service>, DatabaseFailure>(),
    run: <A, E, R>(
      verb: string,
      args: ReadonlyArray<unknown>,
      effect: Effect.Effect<A, E, R>,
      failure: (reason: DatabaseFailure) => E
    ) =>
      Effect.flatMap(Effect.serviceOption(HostTransaction), (open) => {
        // The memory database needs nothing of the sender's context.
        const work = effect as Effect.Effect<A, E>
        // The server does what was asked in the transaction of the connection that it came on.
        const inside = Option.isSome(open) ? Effect.provideService(work, HostTransaction, open.value) : work
        const sending = { process, verb, args, unknown: failure("Unavailable") }
        if (!args.some(hasStatements)) return network.send({ ...sending, effect: onServer(verb, inside) })
        // Statements of the host need the services of the sender.
        return Effect.flatMap(Caller, (calling) =>
          Effect.contextWith((context: Context.Context<never>) => {
            const effect =
              calling === null ? inside : Effect.provideContext(inside, calling.onServer(context))
            return network.send({ ...sending, effect: onServer(verb, effect) })
          })
        )
      })
  })
