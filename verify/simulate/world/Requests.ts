/** What becomes of a request: success, or one of the accidents of networks, servers and clients. */

import type { Call } from "./Gate.ts"
import type { Crew } from "./Processes.ts"
import * as Trace from "./Trace.ts"
import type { World } from "./World.ts"

export interface Requests {
  /** Decides over a request whose turn it is. */
  readonly decide: (call: Call) => void
  /** It works, and its caller goes on. */
  readonly succeed: (call: Call) => void
  /** One of those that nobody waits for any more takes effect. */
  readonly land: () => void
}

/** Requests that a network or an SDK may send twice. A transaction is never among them. */
const repeatable: ReadonlySet<string> = new Set(["put", "delete", "abort", "copy"])

/** Requests between which and the next one of the same process others may do harm: what they tell may be true no more. */
const turningPoints: ReadonlySet<string> = new Set([
  "orphans.find",
  "orphans.purge",
  "blobs.adopt",
  "blobs.locate",
  "blobs.owned",
  "blobs.unpin",
  "blobs.intend",
  "put",
  "audit.lookup",
  "journal.claim",
  "list",
  "multiparts"
])

export const make = (world: World, crew: Crew): Requests => {
  const { count, dice, gate, oracle, plan } = world

  const execute = (call: Call, and = "") => {
    const exit = call.execute()
    if (call.verb !== "pause")
      crew.note(call.process, () => `${asked(call)} -> ${Trace.showExit(exit)}${and}`)
    return exit
  }

  const succeed = (call: Call) => {
    gate.take(call)
    call.answer(execute(call))
  }

  const accident = (call: Call) => {
    gate.take(call)
    const keys = call.verb === "delete" ? (call.args[0] as ReadonlyArray<string>) : []
    const kinds = 3 + (repeatable.has(call.verb) ? 1 : 0) + (keys.length > 0 ? 1 : 0)
    switch (dice.below(kinds)) {
      case 0:
        count("requests failed")
        crew.note(call.process, () => `${asked(call)} fails, and nothing has happened`)
        return call.answer(call.unknown)
      case 1:
        count("answers lost")
        execute(call, ", but the answer is lost")
        return call.answer(call.unknown)
      case 2:
        count("requests taking effect late")
        gate.late.push(call)
        crew.note(call.process, () => `${asked(call)} gets no answer, and is on its way`)
        return call.answer(call.unknown)
      case 3: {
        count("requests taking effect twice")
        const exit = execute(call, ", and is on its way once more")
        gate.late.push(call)
        return call.answer(exit)
      }
      default: {
        count("keys refused")
        world.refused.set(dice.pick(keys), dice.pick(["AccessDenied", "SlowDown"]))
        const exit = execute(call)
        world.refused.clear()
        return call.answer(exit)
      }
    }
  }

  return {
    succeed,
    decide: (call) => {
      if (call.verb !== "pause" && dice.chance(plan.faults)) return accident(call)
      succeed(call)
      if (turningPoints.has(call.verb) && dice.chance(plan.malice))
        call.process.stalledUntil = crew.step + 3 + dice.below(40)
    },
    land: () => {
      const [call] = gate.late.splice(dice.below(gate.late.length), 1)
      if (call === undefined) return
      count("late effects")
      const exit = call.execute()
      oracle.landedLate(call)
      crew.note(call.process, () => `${asked(call)}, sent earlier, takes effect -> ${Trace.showExit(exit)}`)
    }
  }
}

const asked = ({ verb, args }: Call): string => {
  const given = args.filter((arg) => arg !== undefined)
  return `${verb}(${given.map(Trace.show).join(", ")})`
}
