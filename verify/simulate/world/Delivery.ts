/** The outcome of a request: success, or a failure of the network, the server or the client. */

import { Exit } from "effect"
import type { Request, Verb } from "./Network.ts"
import type { Processes } from "./Processes.ts"
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

/** Requests that a network or an SDK may send twice. A transaction is never among them. */
const repeatable: ReadonlySet<Verb> = new Set(["put", "delete", "abort", "copy"])

/** Requests whose answer may be out of date before the process sends its next one. */
const readThenAct: ReadonlySet<Verb> = new Set([
  "orphans.find",
  "orphans.purge",
  "blobs.adopt",
  "blobs.locate",
  "unannounced.look",
  "unannounced.insert",
  "blobs.owned",
  "blobs.unpin",
  "blobs.intend",
  "put",
  "audit.lookup",
  "journal.claim",
  "list",
  "multiparts"
])

/** Creates the delivery of a world's requests. */
export const make = (world: World, processes: Processes): Delivery => {
  const { count, network, oracle, parameters, rng } = world

  const execute = (request: Request, addition = "") => {
    const exit = request.execute()
    if (request.verb !== "pause")
      processes.note(request.process, () => `${textOf(request)} -> ${Trace.showExit(exit)}${addition}`)
    return exit
  }

  const succeed = (request: Request) => {
    network.take(request)
    request.answer(execute(request))
  }

  const fail = (request: Request) => {
    network.take(request)
    const keys = request.verb === "delete" ? (request.args[0] as ReadonlyArray<string>) : []
    const kinds = 3 + (repeatable.has(request.verb) ? 1 : 0) + (keys.length > 0 ? 2 : 0)
    switch (rng.below(kinds)) {
      case 0:
        count("requests failed")
        processes.note(request.process, () => `${textOf(request)} fails without effect`)
        return request.answer(request.unknown)
      case 1:
        count("answers lost")
        execute(request, ", the answer is lost")
        return request.answer(request.unknown)
      case 2:
        count("requests taking effect late")
        network.late.push(request)
        processes.note(request.process, () => `${textOf(request)} gets no answer and is still on its way`)
        return request.answer(request.unknown)
      case 3: {
        count("requests taking effect twice")
        const exit = execute(request, ", and is on its way once more")
        network.late.push(request)
        return request.answer(keys.length > 0 ? asResent(exit, keys) : exit)
      }
      default: {
        count("keys refused")
        world.refused.set(rng.pick(keys), rng.pick(["AccessDenied", "SlowDown"]))
        const exit = execute(request)
        world.refused.clear()
        return request.answer(exit)
      }
    }
  }

  return {
    succeed,
    decide: (request) => {
      if (request.verb !== "pause" && rng.chance(parameters.faults * (request.verb === "delete" ? 4 : 1)))
        return fail(request)
      succeed(request)
      if (readThenAct.has(request.verb) && rng.chance(parameters.pausesAfterRead))
        request.process.pausedUntil =
          processes.step + 3 + rng.below(request.process.role === "unannounced" ? 120 : 40)
    },
    cut: (request, takesEffect) => {
      network.take(request)
      if (takesEffect) execute(request, ", the connection is lost")
      request.answer(request.unknown)
    },
    executeLate: (given) => {
      const at = given === undefined ? rng.below(network.late.length) : network.late.indexOf(given)
      const [request] = network.late.splice(at, 1)
      if (request === undefined) return
      count("late effects")
      const exit = request.execute()
      oracle.executedLate(request)
      processes.note(
        request.process,
        () => `${textOf(request)}, sent earlier, takes effect -> ${Trace.showExit(exit)}`
      )
    }
  }
}

/** A client that repeats a delete says so of its keys: the first request may still take effect. */
const asResent = (exit: Exit.Exit<unknown, unknown>, resent: ReadonlyArray<string>) =>
  Exit.map(exit, (outcome) => ({ ...(outcome as object), resent }))

const textOf = ({ verb, args }: Request): string => {
  const given = args.filter((arg) => arg !== undefined)
  return `${verb}(${given.map(Trace.show).join(", ")})`
}
