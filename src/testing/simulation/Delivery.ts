/** The outcome of a request: success, or a failure of the network, the server or the client. */

import { Exit } from "effect"
import type { FaultOutcomes } from "./FaultRates.ts"
import type { Kernel } from "./Kernel.ts"
import { pause, type Request } from "./Network.ts"
import type { Rng } from "./Rng.ts"
import * as Trace from "./Trace.ts"
import type { World } from "./World.ts"

/** Delivers requests. */
export interface Delivery {
  /** Chooses and applies the outcome of a waiting request. */
  readonly decide: (request: Request) => void
  /** Executes a waiting request and answers it. */
  readonly succeed: (request: Request) => void
  /** Executes a request whose sender no longer waits: this one, or any. */
  readonly executeLate: (request?: Request) => void
  /** Answers a waiting request that its connection is lost, after it took effect or never will. */
  readonly cut: (request: Request, takesEffect: boolean) => void
}

/** Creates the delivery of a world's requests. */
export const make = (kernel: Kernel, hooks: () => Pick<World<never>, "executedLate">): Delivery => {
  const { count, faults, network, note, refused, rng } = kernel

  const execute = (request: Request, addition = "") => {
    const exit = request.execute()
    if (request.verb !== pause)
      note(request.process, () => `${textOf(request)} -> ${Trace.showExit(exit)}${addition}`)
    return exit
  }

  const succeed = (request: Request) => {
    network.take(request)
    request.answer(execute(request))
  }

  const fail = (request: Request, unknown: Exit.Exit<never, unknown>) => {
    network.take(request)
    const { isRepeatable = false, keys = [] } = request.traits
    switch (draw(rng, faults.outcomes, { twice: isRepeatable, refused: keys.length > 0 })) {
      case "fails":
        count("requests failed")
        note(request.process, () => `${textOf(request)} fails without effect`)
        return request.answer(unknown)
      case "answerLost":
        count("answers lost")
        execute(request, ", the answer is lost")
        return request.answer(unknown)
      case "late":
        count("requests taking effect late")
        network.late.push(request)
        note(request.process, () => `${textOf(request)} gets no answer and is still on its way`)
        return request.answer(unknown)
      case "twice": {
        count("requests taking effect twice")
        const exit = execute(request, ", and is on its way once more")
        network.late.push(request)
        return request.answer(keys.length > 0 ? asResent(exit, keys) : exit)
      }
      case "refused": {
        count("keys refused")
        refused.set(rng.pick(keys), rng.pick(["AccessDenied", "SlowDown"]))
        const exit = execute(request)
        refused.clear()
        return request.answer(exit)
      }
    }
  }

  return {
    succeed,
    decide: (request) => {
      const { faultFactor = 1, isReadThenAct = false } = request.traits
      const unknown = request.unknown
      if (unknown !== null && rng.chance(faults.requests * faultFactor)) return fail(request, unknown)
      succeed(request)
      if (isReadThenAct && rng.chance(faults.pausesAfterRead))
        request.process.pausedUntil = kernel.step + 3 + rng.below(request.process.pauseStepsMax)
    },
    cut: (request, takesEffect) => {
      // The answer to another request of its process may have withdrawn it.
      if (!network.waiting.includes(request)) return
      network.take(request)
      if (takesEffect) execute(request, ", the connection is lost")
      if (request.unknown !== null) request.answer(request.unknown)
    },
    executeLate: (given) => {
      const request = given ?? rng.pick(network.late, nameOf)
      network.late.splice(network.late.indexOf(request), 1)
      count("late effects")
      const exit = request.execute()
      hooks().executedLate?.(request)
      note(request.process, () => `${textOf(request)}, sent earlier, takes effect -> ${Trace.showExit(exit)}`)
    }
  }
}

/** Names a request in the choices of a run. */
export const nameOf = ({ process, verb }: Request): string => `${process.name} ${verb}`

/** Draws what a request suffers, among the outcomes that it can have. */
const draw = (
  rng: Rng,
  weights: FaultOutcomes,
  { refused, twice }: { readonly refused: boolean; readonly twice: boolean }
): keyof FaultOutcomes => {
  const outcomes: ReadonlyArray<keyof FaultOutcomes> = [
    "fails",
    "answerLost",
    "late",
    ...(twice ? (["twice"] as const) : []),
    ...(refused ? (["refused"] as const) : [])
  ]
  const total = outcomes.reduce((sum, outcome) => sum + weights[outcome], 0)
  let left = rng.next() * total
  for (const outcome of outcomes) {
    left -= weights[outcome]
    if (left < 0) return outcome
  }
  return "fails"
}

/** A client that repeats a delete says so of its keys: the first request may still take effect. */
const asResent = (exit: Exit.Exit<unknown, unknown>, resent: ReadonlyArray<string>) =>
  Exit.map(exit, (outcome) => ({ ...(outcome as object), resent }))

const textOf = ({ verb, args }: Request): string => {
  const given = args.filter((arg) => arg !== undefined)
  return `${verb}(${given.map(Trace.show).join(", ")})`
}
