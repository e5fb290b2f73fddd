/** Mutants of what protects the store after a restore of the database from a backup. */
import { Effect } from "effect"
import { journal, type Mutant } from "./Mutant.ts"

/** Each world is restored once. */
const restored: NonNullable<Mutant["world"]> = (parameters) => ({
  ...parameters,
  processes: { ...parameters.processes, host: 0, pusher: 0, retagger: 0, unannounced: 0 },
  settings: { ...parameters.settings, unannouncedWriters: "none" },
  backupAt: Math.ceil(parameters.steps * 0.3),
  restoreAt: Math.ceil(parameters.steps * 0.6)
})

/** Removes one protection of restored databases each. */
export const restoreMutants: ReadonlyArray<Mutant> = [
  {
    name: "age-unasked",
    lacks: "the look at the server's timeline, which a restore changes",
    within: 200,
    world: restored,
    mutation: () => ({
      rows: (rows) => ({
        ...rows,
        binding: {
          ...rows.binding,
          read: Effect.map(rows.binding.read, (state) => ({
            ...state,
            here: { ...state.here, timeline: state.bound?.timeline ?? null }
          }))
        }
      })
    })
  },
  {
    name: "intents-reaped",
    lacks: "the pause of the reaper for intents that a backup brought back",
    within: 500,
    world: restored,
    mutation: () => ({
      rows: (rows) =>
        journal(rows, {
          reapIntents: (now, notBefore, limit) => rows.journal.reapIntents(now, notBefore, limit)
        })
    })
  }
]
