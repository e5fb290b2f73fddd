/** How the processes of a simulation reach a database in memory: each verb waits in the network. */
import { Context, Effect } from "effect"
import { Scheduler } from "effect/Scheduler"
import type { DatabaseFailure } from "../../domain/DatabaseError.ts"
import * as Faults from "../Faults.ts"
import { type VerbOf, wrap } from "../FaultyDatabase.ts"
import type { Network } from "./Network.ts"
import type { Process } from "./Process.ts"

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
      Effect.contextWith((sender: Context.Context<R>) => {
        // The transaction of the connection that the request came on, and the services of statements of the host,
        // are the sender's. The server takes its own turns.
        const inside: Effect.Effect<A, E> = Effect.updateContext(effect, (server: Context.Context<never>) =>
          Context.add(sender, Scheduler, Context.get(server, Scheduler))
        )
        const unknown = failure("Unavailable")
        return network.send({ process, verb, args, effect: onServer(verb, inside), unknown })
      })
  })
