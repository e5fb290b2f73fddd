/** The world of a host's app: a catalogue and a store in memory, the host's own services, and its invariants. */
import { Clock, Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { BlobStore } from "../../blobs/BlobStore.ts"
import { CollectorDatabase } from "../../database/Database.ts"
import type { ReferenceSource } from "../../sweep/ReferenceSource.ts"
import { Sweep } from "../../sweep/Sweep.ts"
import type { HostInvariant } from "./Invariant.ts"
import { noncePrefix } from "./Kernel.ts"
import {
  type AccessOptions,
  CollectorSettings,
  CollectorSources,
  make as makeAccess,
  type Provided
} from "./MemoryAccess.ts"
import * as MemoryState from "./MemoryState.ts"
import type { Simulator } from "./Simulator.ts"
import { namingDigests, showExit } from "./Trace.ts"
import type { Closing, Invariant, World } from "./World.ts"

/** Describes the world of an app. */
export interface WorldOptions<S, R> extends AccessOptions {
  /** What must hold, beside what must hold of every catalogue and store. Default: nothing more. */
  readonly invariants?: ReadonlyArray<HostInvariant<S | Provided>> | undefined
  /**
   * Services that the processes share and that outlive them: tables, queues, remote APIs. Put a `gate` around
   * each. Default: none.
   */
  readonly servers?: Layer.Layer<S, never, Provided> | undefined
  /** Services that each process builds for itself, and that die with it. Default: none. */
  readonly services?: Layer.Layer<R, never, S | Provided> | undefined
  /**
   * Reference sources of every collector, and of the one that sweeps at the end. Put a `gate` around the service that they
   * ask, so that answers fail and are late. What they hold at the end is no garbage. Default: none.
   */
  readonly sources?: ReadonlyArray<ReferenceSource<S | Provided>> | undefined
  /** False leaves out the check that no garbage is left at the end. Default true. */
  readonly leaks?: boolean | undefined
}

/** Most days of sweeps at the end. The first sees an orphan, the second condemns it, the third deletes it. */
const daysMax = 10

/** Creates the world of an app. */
export const make = <S, R>(simulator: Simulator, options: WorldOptions<S, R>): World<S | R | Provided> => {
  const { contextOf, perform } = simulator
  const state = MemoryState.empty(options.tables ?? [])
  const access = makeAccess(simulator, state, options)
  // Shared services are on the server: they reach the catalogue and the store without a network.
  const known = Context.add(
    withServers(simulator, access.direct, options.servers),
    CollectorSources,
    // A sweep gives them the context in which it is built, which is that of its process.
    (options.sources ?? []) as ReadonlyArray<ReferenceSource>
  )
  const { invariants = [], services } = options
  const asCheck = ({ check, name }: HostInvariant<S | Provided>): Invariant => ({
    name,
    check: () => {
      const facts = MemoryState.factsOf(state, simulator.time)
      const found = check(facts)
      if (!Effect.isEffect(found)) return found
      const exit = perform(Effect.provideContext(found, known))
      return Exit.isSuccess(exit) ? exit.value : `the check ${showExit(exit)}`
    }
  })
  const of = (when: HostInvariant["when"]) => invariants.filter((one) => one.when === when).map(asCheck)
  return {
    services: (process) =>
      // What a process builds for itself is added by `around`.
      Context.mergeAll(known, access.of(process), contextOf(process)) as Context.Context<S | R | Provided>,
    ...(services === undefined
      ? {}
      : { around: (_, life) => Effect.provide(life, services, { local: true }) as typeof life }),
    invariants: [...MemoryState.invariants(state), ...of("always")],
    closing: {
      ...closing(state, of("at the end"), options.leaks === false ? null : heldBy(simulator, options, known)),
      prepare: () => endPins(simulator, state)
    },
    shorten: namingDigests(noncePrefix)
  }
}

const withServers = <S>(
  { perform }: Simulator,
  direct: Context.Context<Provided>,
  servers: Layer.Layer<S, never, Provided> | undefined
): Context.Context<S | Provided> => {
  if (servers === undefined) return direct as Context.Context<S | Provided>
  // The scope is never closed: the servers live as long as the run.
  const built = perform(Effect.provideContext(Layer.buildWithScope(servers, Scope.makeUnsafe()), direct))
  if (Exit.isFailure(built))
    throw new Error(`the shared services of the simulation cannot be built: ${showExit(built)}`)
  return Context.merge(direct, built.value)
}

/** Returns what asks the sources without a network. Without an answer they hold nothing, and the run shows a leak. */
const heldBy =
  <S, R>(
    { perform }: Simulator,
    { sources = [] }: WorldOptions<S, R>,
    known: Context.Context<S | Provided>
  ): MemoryState.Held =>
  (digests) =>
    new Set(
      sources.flatMap((source) => {
        const exit = perform(Effect.provideContext(source.ask(digests), known))
        return Exit.isSuccess(exit) ? [...exit.value] : []
      })
    )

/** Lets time pass until every pin has ended. */
const endPins = ({ note, time }: Simulator, { rows }: MemoryState.MemoryState): void => {
  const last = Math.max(time.now(), ...[...rows.pins.values()].map(({ expiresAt }) => expiresAt))
  if (last === time.now()) return
  note(null, () => "time passes until the last pin has ended")
  time.pass(last - time.now())
}

/**
 * Returns the end of a run: sweeps for days, then nothing may be left, and every reference must read back. Without `held`
 * garbage may be left.
 */
const closing = (
  state: MemoryState.MemoryState,
  atEnd: ReadonlyArray<Invariant>,
  held: MemoryState.Held | null
): Closing<Provided> => {
  const left = () => (held === null ? null : MemoryState.leaked(state, held))
  return {
    day: Effect.gen(function* () {
      const { breakers, journal } = yield* CollectorDatabase
      const now = yield* Clock.currentTimeMillis
      // As an operator does after reading the reports.
      yield* breakers.confirm(now)
      yield* journal.retry(now, "all")
      const { outcome } = yield* sweepOnce
      return outcome
    }),
    daysMax,
    left,
    last: Effect.gen(function* () {
      for (const { check, name } of atEnd) {
        const message = check()
        if (message !== null) return `${name}: ${message}`
      }
      return yield* unreadable(state)
    })
  }
}

const sweepOnce = Effect.gen(function* () {
  const settings = yield* CollectorSettings
  const sources = yield* CollectorSources
  return yield* Effect.provide(
    Effect.flatMap(Sweep, (sweep) => sweep.once()),
    Sweep.layer({ ...settings, sources, collectorId: "janitor" })
  )
})

/** Returns the first referenced blob that does not read back, or null. */
const unreadable = Effect.fnUntraced(function* (state: MemoryState.MemoryState) {
  const blobs = yield* BlobStore
  for (const digest of MemoryState.referencedDigests(state)) {
    const exit = yield* Effect.exit(Stream.runDrain(blobs.open(digest)))
    if (Exit.isFailure(exit)) return `blob ${digest} cannot be read: ${showExit(exit)}`
  }
  return null
})
