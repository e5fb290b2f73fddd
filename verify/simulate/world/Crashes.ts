/** A crash of the database server, which comes back at once. */
import type { Request } from "../../../src/testing/simulation/Simulation.ts"
import type { World } from "./World.ts"

const isOfDatabase = (verb: string): boolean => verb.includes(".") || verb === "inspect" || verb === "backlog"

/**
 * Crashes the database. Requests on their way took effect before the crash, or never will. Transactions that
 * hosts have open end, and commits that were not on the disk are gone.
 */
export const crash = ({ count, durability, network, simulator }: World): void => {
  const { delivery, note, rng } = simulator
  count("database crashes")
  const late = network.late.filter(({ verb }) => isOfDatabase(verb))
  for (const request of late) {
    if (rng.chance(0.5)) delivery.executeLate(request)
    else network.late.splice(network.late.indexOf(request), 1)
  }
  const cut: Array<Request> = network.waiting.filter(({ verb }) => isOfDatabase(verb))
  for (const request of cut) delivery.cut(request, rng.chance(0.5))
  const lost = durability.crash()
  if (lost > 0) count("commits lost in a crash", lost)
  note(null, () => `the database crashes and loses ${lost} commits`)
}
