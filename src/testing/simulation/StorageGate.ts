/** How the processes of a simulation reach a store in memory: each request waits in the network. */
import { Effect } from "effect"
import { StorageError } from "../../domain/StorageError.ts"
import * as MemoryStorage from "../../storage/Memory.ts"
import { Storage } from "../../storage/Storage.ts"
import * as FaultyStorage from "../FaultyStorage.ts"
import type { Kernel } from "./Kernel.ts"
import * as PagedStore from "./PagedStore.ts"
import type { Process } from "./Process.ts"

/** The detail of every failure that a simulation causes. */
export const simulated = "scripted fault"

/** Returns a function that gives each process its own access to the store. */
export const make = (
  { network, refused }: Pick<Kernel, "network" | "refused">,
  state: MemoryStorage.State
): ((process: Process) => Storage["Service"]) => {
  const raw = Effect.runSync(Effect.provide(Storage, MemoryStorage.layerOf(state)))
  const script = FaultyStorage.script()
  let uploads = 0
  const unknown = new StorageError({
    operation: "probe",
    subject: "the store",
    reason: "TimedOut",
    detail: simulated
  })
  return (process) => {
    const skew = Effect.sync(() => -process.aheadMillis)
    return PagedStore.make({
      inner: FaultyStorage.wrap(
        { ...raw, skew: Effect.asSome(skew) },
        {
          ...script,
          refused,
          run: (verb, args, effect, failure) =>
            // The memory store needs nothing of the sender's context, and bodies were read before.
            network.send({ process, verb, args, effect: effect as never, unknown: failure("TimedOut") })
        }
      ),
      raw,
      state,
      request: (verb, args, effect) => network.send({ process, verb, args, effect, unknown }),
      uploadId: () => `u${++uploads}`
    })
  }
}
