/** The actors of an app's simulation. */
import { Cause, Context, Effect, Layer } from "effect"
import type { BlobDatabase, CollectorDatabase } from "../../database/Database.ts"
import type { Storage } from "../../storage/Storage.ts"
import type { SettingsInput } from "../../sweep/Settings.ts"
import { Sweep } from "../../sweep/Sweep.ts"
import { Caller } from "./Caller.ts"
import { CollectorSettings, CollectorSources } from "./MemoryAccess.ts"
import { showCause } from "./Trace.ts"
import type { Actor } from "./World.ts"

/** Options of an actor. */
export interface ActorOptions {
  /** How many processes of it run at a time. Default 1. */
  readonly count?: number
}

/**
 * An actor: a writer, a deleter, a reader, or anything else that an app does. Each of its processes repeats
 * `work` for as long as it runs, and takes turns with all others. A process may be killed, paused or asked to
 * end between any two calls of a gated service.
 *
 * An error ends the present piece of work: apps see errors when a network fails, and try again. A defect
 * breaks the run. Use `Effect.orDie` where no error is acceptable.
 *
 * ```ts
 * Simulation.actor("uploader", Effect.gen(function* () {
 *   const blobs = yield* BlobStore.BlobStore
 *   yield* blobs.put(Stream.make(bytes), { pin: "1 hour" })
 * }), { count: 2 })
 * ```
 */
export const actor = <E, R>(
  name: string,
  work: Effect.Effect<unknown, E, R>,
  { count = 1 }: ActorOptions = {}
): Actor<R> => {
  const once = Effect.catchCauseIf(
    work,
    (cause) => !Cause.hasInterrupts(cause) && !Cause.hasDies(cause),
    (cause) =>
      Effect.map(Caller, (calling) => {
        calling?.count(`${name}: failed`)
        calling?.note(calling.process, () => `gives up: ${showCause(cause)}`)
      })
  )
  return { name, count, work: () => once }
}

/** Options of collectors. */
export interface CollectorOptions extends ActorOptions {
  /** Names the actor. Actors with different settings need different names. Default `collector`. */
  readonly name?: string
  /** Settings of these collectors, beside those of the simulation. Default: no others. */
  readonly settings?: SettingsInput
}

/**
 * Collectors: replicas that sweep again and again, at the instants that the seed decides. Name several to
 * give replicas different settings.
 */
export const collector = ({
  count = 1,
  name = "collector",
  settings = {}
}: CollectorOptions = {}): Actor<BlobDatabase | CollectorDatabase | Storage> => ({
  name,
  count,
  isCollector: true,
  work: (process) => {
    let sweep: Sweep["Service"] | null = null
    return Effect.gen(function* () {
      if (sweep === null) {
        const shared = yield* CollectorSettings
        const sources = yield* CollectorSources
        const layer = Sweep.layer({ ...shared, ...settings, sources, collectorId: process.name })
        sweep = Context.get(yield* Effect.orDie(Effect.scoped(Layer.build(layer))), Sweep)
      }
      const { leave, once } = sweep
      const { outcome } = yield* Effect.onInterrupt(once(), () => leave)
      const calling = yield* Caller
      calling?.count(`sweep: ${outcome}`)
    })
  }
})
