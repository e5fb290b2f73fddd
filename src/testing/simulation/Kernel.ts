/** What all parts of a simulation share: choices, time, the network, the trace, and what broke. */
import { Cause, Clock, Context, Effect, type Exit, References } from "effect"
import { Random } from "effect/Random"
import { Scheduler } from "effect/Scheduler"
import { KeyNonce, type ObjectKey } from "../../domain/ObjectKey.ts"
import { Caller, type Calling } from "./Caller.ts"
import { type Choices, servers } from "./Choices.ts"
import type { FaultRates } from "./FaultRates.ts"
import * as ManualScheduler from "./ManualScheduler.ts"
import * as Network from "./Network.ts"
import type { Process } from "./Process.ts"
import type { Rng } from "./Rng.ts"
import * as Time from "./Time.ts"
import * as Trace from "./Trace.ts"
import { traitsOf } from "./Traits.ts"
import type { Check, World } from "./World.ts"

/** An invariant that broke. */
export interface Broken {
  readonly invariant: string
  readonly message: string
}

/** Holds what all parts of a run share. */
export interface Kernel {
  readonly choices: Choices
  /** Draws the events of steps. */
  readonly rng: Rng
  readonly faults: FaultRates
  readonly time: Time.Time
  readonly scheduler: ManualScheduler.ManualScheduler
  readonly network: Network.Network
  /** Keys whose part of the present delete fails, with the store's error code. */
  readonly refused: Map<ObjectKey, string>
  /** How often each event happened. */
  readonly counts: Record<string, number>
  readonly count: (what: string, times?: number) => void
  /** Returns what replaces Effect's own sources of order, chance and time in a process, and says whose fiber it is. */
  readonly contextOf: (process: Process) => Context.Context<never>
  /** Runs the work of a server in one step. */
  readonly perform: <A, E>(effect: Effect.Effect<A, E>) => ReturnType<typeof Effect.runSyncExit<A, E>>
  /** Number of the present step. */
  step: number
  /** Adds a line to the trace. */
  readonly note: (process: Process | null, what: () => string) => void
  /** Breaks the run. The first report counts. */
  readonly report: (message: string, invariant?: string) => void
  /** Returns the first invariant that broke, or null. */
  readonly check: () => Broken | null
}

/** The parts of a world that the kernel calls. They exist once the world does. */
export type Hooks = Pick<World<never>, "performed" | "invariants" | "shorten">

/** Begins every nonce, which is a UUID: the names of upload sessions must be. Traces show `n` and the number. */
export const noncePrefix = "00000000-0000-4000-8000-"

/** Names a promise that the code under test gave an actor and did not keep. */
const told = "a process is told what it may expect"

/** Creates the kernel of a run. */
export const make = (options: {
  readonly choices: Choices
  readonly faults: FaultRates
  readonly hooks: () => Hooks
  readonly isTraced: boolean
}): { readonly kernel: Kernel; readonly trace: Trace.Trace } => {
  const { choices, faults, hooks } = options
  const time = Time.make()
  const shorten = () => hooks().shorten ?? ((text: string) => text)
  const trace = options.isTraced ? Trace.make(shorten) : Trace.silent
  let broken: Broken | null = null
  const report = (message: string, invariant = told) => {
    broken ??= { invariant, message }
  }
  const scheduler = ManualScheduler.make(() =>
    report("a process runs without an end: it never waits for a request or a clock", "every run ends")
  )
  const common = references(scheduler)
  const onServer = Context.make(Random, randomOf(choices.of(servers))).pipe(
    Context.add(
      Clock.Clock,
      time.clock({}, () => 0)
    ),
    Context.add(Caller, null)
  )
  const perform = Effect.runSyncExitWith(Context.merge(common, onServer))
  const counts: Record<string, number> = {}
  const kernel: Kernel = {
    choices,
    rng: choices.events,
    faults,
    time,
    scheduler,
    network: Network.make({
      perform: (effect) => perform(effect),
      performed: (request, exit) => {
        if (isAsync(exit))
          report(
            `${request.verb} waits for a promise, a socket or a sleep, and so takes no effect in one step`,
            "a call takes effect in one step"
          )
        hooks().performed?.(request, exit)
      },
      traitsOf
    }),
    refused: new Map(),
    counts,
    count: (what, times = 1) => {
      counts[what] = (counts[what] ?? 0) + times
    },
    contextOf: (process) =>
      Context.add(common, Random, randomOf(process.rng)).pipe(
        Context.add(
          Clock.Clock,
          time.clock(process, () => process.aheadMillis)
        ),
        Context.add(Caller, callingOf(kernel, process, onServer))
      ),
    perform,
    step: 0,
    note: (process, what) => {
      if (options.isTraced) trace.add(kernel.step, time.now(), process, what())
    },
    report,
    check: () => {
      broken ??= firstBroken(hooks().invariants)
      return broken
    }
  }
  return { kernel, trace }
}

/** Steps in which several sweeps come to their end. */
const pauseStepsMax = 300

const callingOf = (kernel: Kernel, process: Process, onServer: Context.Context<never>): Calling => {
  const { count, faults, network, note, report } = kernel
  return {
    process,
    send: network.send,
    pause: Effect.suspend(() => {
      if (process.rng.chance(faults.pausesAfterRead))
        process.pausedUntil = Math.max(process.pausedUntil, kernel.step + process.rng.below(pauseStepsMax))
      return network.pause(process)
    }),
    note,
    count,
    report,
    // The work of a server runs at once, so it must not wait for the scheduler of the processes.
    onServer: (context) => Context.merge(Context.omit(Scheduler)(context), onServer) as typeof context
  }
}

/** Returns whether the work of a server did not end at once. */
const isAsync = (exit: Exit.Exit<unknown, unknown>): boolean =>
  exit._tag === "Failure" &&
  exit.cause.reasons.some((reason) => "defect" in reason && Cause.isAsyncFiberError(reason.defect))

const firstBroken = (
  invariants: ReadonlyArray<{ readonly name: string; readonly check: Check }>
): Broken | null => {
  for (const { check, name } of invariants) {
    const message = check()
    if (message !== null) return { invariant: name, message }
  }
  return null
}

const randomOf = (rng: Rng): (typeof Random)["Service"] => ({
  nextDoubleUnsafe: rng.next,
  nextIntUnsafe: () => rng.below(Number.MAX_SAFE_INTEGER)
})

/** Returns what is the same for all processes. */
const references = (scheduler: ManualScheduler.ManualScheduler) => {
  let nonces = 0
  return Context.make(Scheduler, scheduler).pipe(
    Context.add(KeyNonce, () => `${noncePrefix}${String(++nonces).padStart(12, "0")}`),
    Context.add(References.MinimumLogLevel, "None"),
    Context.add(References.TracerEnabled, false)
  )
}
