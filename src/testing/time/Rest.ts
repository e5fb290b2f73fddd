/**
 * Finds out when this process is at rest: no fibre is about to run, no file is being read or written, and no watched call
 * is under way. Everything then sleeps or waits.
 */
import { Clock, type Fiber, type Scheduler } from "effect"
import type { Calls } from "./Calls.ts"

/** What is waited for. */
export interface RestOptions {
  /** Watched calls; null without any. */
  readonly calls: Calls | null
  /** Real time, in milliseconds, that may pass without rest, or without an answer of a watched call. */
  readonly patience: number
  /** Runs the fibres of the test, which are named if they never rest. */
  readonly scheduler: Scheduler.Scheduler
}

/** What a wait for rest ends with. */
export interface Ends {
  readonly atRest: () => void
  readonly gaveUp: (reason: string) => void
}

/** Patience is of real time. */
const live: Clock.Clock = Clock.Clock.defaultValue()

/** Turns of the event loop without work after which nothing runs: what a turn begins, the next shows. */
const quietTurns = 3

/** Turns in which the fibres that run are noted, for the message. */
const turnsNoted = 5

/** Calls one of the ends, once. Returns how to withdraw. */
export const whenAtRest = ({ calls, patience, scheduler }: RestOptions, { atRest, gaveUp }: Ends) => {
  let isWithdrawn = false
  let quiet = 0
  let since = live.currentTimeMillisUnsafe()
  let withdraw = () => {
    isWithdrawn = true
  }

  const waitForAnswer = (watch: Calls) => {
    const timer = setTimeout(() => {
      forget()
      gaveUp(
        `for the answer of ${watch.underWay().join(", ")}. A watched call must not sleep by the test's clock: watch the innermost service.`
      )
    }, patience)
    const forget = watch.onAnswer(() => {
      clearTimeout(timer)
      since = live.currentTimeMillisUnsafe()
      setImmediate(turn)
    })
    withdraw = () => {
      isWithdrawn = true
      clearTimeout(timer)
      forget()
    }
  }

  const turn = () => {
    if (isWithdrawn) return
    if (calls !== null && calls.underWay().length > 0) {
      quiet = 0
      return waitForAnswer(calls)
    }
    const work = process.getActiveResourcesInfo().filter(isWork)
    quiet = work.length === 0 ? quiet + 1 : 0
    if (quiet === quietTurns) return atRest()
    if (quiet > 0 || live.currentTimeMillisUnsafe() - since < patience) return void setImmediate(turn)
    const requests = [...new Set(work.filter((kind) => kind !== fibresKind))]
    if (requests.length > 0) return gaveUp(`for requests of Node (${requests.join(", ")}).`)
    noteFibers(scheduler, (names) => isWithdrawn || gaveUp(neverRests(names)))
  }
  setImmediate(turn)
  return () => withdraw()
}

const neverRests = (names: ReadonlyArray<string>) =>
  `for fibres that run without sleeping (${names.join(", ") || "unknown"}). A loop without Effect.sleep, or whose sleep ends at once, keeps a test clock from moving. Where fibres only work for long, give more patience.`

/** Fibres that are about to run. */
const fibresKind = "Immediate"

/** Kinds of work that Node is about to do. */
const isWork = (kind: string): boolean =>
  kind === fibresKind || kind.startsWith("FSReq") || kind === "CloseReq"

/** Tells the names of the fibres that run in the next turns. */
const noteFibers = (scheduler: Scheduler.Scheduler, tell: (names: ReadonlyArray<string>) => void) => {
  const names = new Set<string>()
  const shouldYield = scheduler.shouldYield
  scheduler.shouldYield = (fiber) => {
    names.add(nameOf(fiber))
    return shouldYield.call(scheduler, fiber)
  }
  let turns = 0
  const next = () => {
    turns += 1
    if (turns < turnsNoted) return void setImmediate(next)
    scheduler.shouldYield = shouldYield
    tell([...names])
  }
  setImmediate(next)
}

/** Returns the number of a fibre, as logs show it, and its span. */
const nameOf = ({ cache, id }: Fiber.Fiber<unknown, unknown>): string =>
  cache.span?._tag === "Span" ? `#${id} in ${cache.span.name}` : `#${id}`
