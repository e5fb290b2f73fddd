/** A world as the simulator plays it: what happens in it, what must hold, and how it ends. */
import { noncePrefix, type World as SimulatedWorld } from "../../../src/testing/simulation/Simulation.ts"
import { known } from "./Contents.ts"
import { countEffect } from "./Counts.ts"
import { crash } from "./Crashes.ts"
import { closingOf } from "./Quiesce.ts"
import { type Backup, backUp, restore } from "./Restores.ts"
import type { Executed } from "./Verb.ts"
import type { Services, World } from "./World.ts"

/** Returns the world as the simulator plays it. */
export const make = (world: World): SimulatedWorld<Services> => {
  const { count, elsewhere, oracle, parameters, rows, simulator } = world
  let backup: Backup | null = null
  return {
    services: world.services,
    invariants: [...oracle.invariants, elsewhere.invariant],
    closing: closingOf(world),
    events: [
      {
        // Seldom is a commit not on the disk yet, and then a crash shows the most.
        rate: () => (world.durability.isBehind() && parameters.faults > 0 ? 0.4 : parameters.crashes),
        happen: () => crash(world)
      },
      { rate: () => parameters.locks, happen: () => lock(world) },
      { rate: () => parameters.outages, happen: elsewhere.fail }
    ],
    beforeStep: () => {
      // A database that remembers no sweep cannot tell that it is old.
      const isDue = parameters.backupAt > 0 && simulator.step >= parameters.backupAt
      if (isDue && rows.binding?.sweptAt != null && backup === null) backup = backUp(world)
      if (simulator.step === parameters.restoreAt && backup !== null) restore(world, backup)
    },
    performed: (request, exit) => {
      const executed = request as Executed
      countEffect(count, executed.verb, exit)
      oracle.performed(executed, exit)
    },
    executedLate: (request) => {
      oracle.executedLate(request as Executed)
      elsewhere.executedLate(request as Executed)
    },
    ended: (process) => {
      oracle.answered(process, [])
      elsewhere.ended(process)
    },
    shorten
  }
}

/** A locked object cannot be deleted, and can be read and replaced. */
const lock = ({ count, simulator, store }: World) => {
  const keys = [...store.objects.keys()]
  if (keys.length === 0) return
  const key = simulator.rng.pick(keys)
  count("objects locked")
  simulator.note(null, () => `object ${key} is locked`)
  store.locked.add(key)
}

/** Shortens digests to their names, and keys to the part after their folders. */
const shorten = (text: string): string => {
  let shorter = text
  for (const { name, digest } of known()) {
    const hex = digest.slice("sha256:".length)
    shorter = shorter
      .replaceAll(`sha256/${hex.slice(0, 2)}/${hex}`, name)
      .replaceAll(digest, name)
      .replaceAll(hex, name)
  }
  return shorter.replaceAll(nonces, "n")
}

const nonces = new RegExp(`${noncePrefix}0*`, "g")
