/**
 * Lets time pass in a test, and forked work with it.
 *
 * `TestClock.adjust` wakes what sleeps, and waits for what it woke. It does not wait for a fibre that was forked and has
 * not run yet, nor for a fibre that waits for a disk or a server: the clock then runs away from it. {@link pass} waits for
 * both.
 */
import { Clock, type Context, Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"

/** Calls of watched services that have not been answered. Made by {@link calls}. */
export interface Calls {
  /** Returns the names of the calls that are under way. */
  readonly underWay: () => ReadonlyArray<string>
  /** Counts the calls of a service. Effects and functions that return effects are calls, at any depth. */
  readonly watch: <Self, Service extends object>(
    service: Context.Service<Self, Service>
  ) => Layer.Layer<Self, never, Self>
}

/** How time passes. */
export interface PassOptions {
  /** Calls to wait for, where a service reaches a server. Default: none. */
  readonly calls?: Calls | undefined
  /**
   * How far the clock moves at a time. After each step {@link pass} waits for all that it began. Default: with `calls` 1
   * minute, and without them all at once, because `TestClock.adjust` then stops at every sleep by itself.
   */
  readonly step?: Duration.Input | undefined
  /** Real time that a call may take before the test dies and names it. Default 10 seconds. */
  readonly patience?: Duration.Input | undefined
}

const defaultStep = Duration.minutes(1)
const defaultPatience = Duration.seconds(10)

/**
 * Moves the `TestClock` by `duration`, and returns when all that became due has come to its end or sleeps again.
 *
 * ```ts
 * yield* Effect.forkChild(sweep.once())
 * yield* Time.pass("30 days")
 * ```
 *
 * `TestClock.adjust` stops waiting for a fibre that it woke after one second of real time, with a warning (effect 4.1). The
 * clock then runs away from it. A collector on its schedule meets this limit over weeks: pass them with a `step`, and at
 * least one sweep runs in each.
 *
 * It knows that nothing runs in this process: no fibre is about to run and no file is being read or written. It cannot see
 * that a server is at work. Wrap the services that reach one with {@link calls}, innermost: a call that sleeps by the test's
 * clock would never end. Within a step the clock does not stop for a call, so a sweep over a server appears to take up to
 * a step longer for each time that it sleeps.
 */
export const pass = Effect.fnUntraced(function* (duration: Duration.Input, options: PassOptions = {}) {
  const total = Duration.toMillis(Duration.fromInputUnsafe(duration))
  const given = options.step ?? (options.calls === undefined ? null : defaultStep)
  const step = given === null ? total : Duration.toMillis(Duration.fromInputUnsafe(given))
  const end = (yield* Clock.currentTimeMillis) + total
  yield* settle(options)
  for (;;) {
    const left = end - (yield* Clock.currentTimeMillis)
    if (left <= 0) return
    yield* TestClock.adjust(Math.min(left, step))
    yield* settle(options)
  }
})

/** Turns of the event loop without work after which nothing runs: what a turn begins, the next shows. */
const quietTurns = 3

/** Waits, without moving the clock, until everything that can run has come to its end or sleeps. */
export const settle = Effect.fnUntraced(function* ({ calls, patience = defaultPatience }: PassOptions = {}) {
  const live: Clock.Clock = Clock.Clock.defaultValue()
  const longest = Duration.toMillis(Duration.fromInputUnsafe(patience))
  let quietSince = live.currentTimeMillisUnsafe()
  for (let quiet = 0; quiet < quietTurns; ) {
    // Behind all that is about to run in this turn.
    yield* Effect.yieldNowWith(lastOfTurn)
    const waitsFor = calls?.underWay() ?? []
    const isQuiet = waitsFor.length === 0 && !process.getActiveResourcesInfo().some(isWork)
    quiet = isQuiet ? quiet + 1 : 0
    if (waitsFor.length === 0) quietSince = live.currentTimeMillisUnsafe()
    else if (live.currentTimeMillisUnsafe() - quietSince > longest) {
      return yield* Effect.die(
        new Error(
          `Time.pass waited for ${waitsFor.join(", ")} for longer than its patience. A watched call must not sleep by the test's clock: watch the innermost service.`
        )
      )
    }
  }
})

const lastOfTurn = 1_000_000

/** Kinds of work that Node is about to do: fibres that are about to run, and requests to the file system. */
const isWork = (kind: string): boolean =>
  kind === "Immediate" || kind.startsWith("FSReq") || kind === "CloseReq"

/** Returns a watch over services that reach a server. */
export const calls = (): Calls => {
  const open = new Map<symbol, string>()
  const counted = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const call = Symbol(name)
      open.set(call, name)
      return Effect.ensuring(
        effect,
        Effect.sync(() => open.delete(call))
      )
    })
  return {
    underWay: () => [...open.values()],
    watch: (service) =>
      Layer.effect(
        service,
        Effect.map(service, (inner) => watched(inner, counted, ""))
      )
  }
}

type Counted = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const watched = <Service extends object>(service: Service, counted: Counted, prefix: string): Service => {
  const members = Object.entries(service).map(([key, member]: [string, unknown]) => {
    const name = `${prefix}${key}`
    if (Effect.isEffect(member)) return [key, counted(name, member)]
    if (typeof member === "function") {
      return [
        key,
        (...args: ReadonlyArray<unknown>) => {
          const answer: unknown = Reflect.apply(member, service, args)
          return Effect.isEffect(answer) ? counted(name, answer) : answer
        }
      ]
    }
    return [key, isGroup(member) ? watched(member, counted, `${name}.`) : member]
  })
  return Object.fromEntries(members)
}

/** Verbs of a group are plain records. */
const isGroup = (member: unknown): member is object =>
  typeof member === "object" && member !== null && Object.getPrototypeOf(member) === Object.prototype
