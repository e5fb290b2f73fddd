/** Mutants of what protects the bytes of unannounced writers. */
import { Duration, Effect } from "effect"
import type { Databases } from "../world/Databases.ts"
import type { Mutant } from "./Mutant.ts"

const suspects = (rows: Databases, suspects: Partial<Databases["suspects"]>): Databases => ({
  ...rows,
  suspects: { ...rows.suspects, ...suspects }
})

/** Unannounced writers of one blob, collectors without waits, and a network that loses and delays much. */
const shared: NonNullable<Mutant["world"]> = (parameters) => ({
  ...parameters,
  contents: 1,
  processes: {
    ...{ writer: 0, reader: 0, stager: 0, operator: 0, host: 0, pusher: 0, retagger: 0, external: 0 },
    ...{ collector: 2, deleter: 1, unannounced: 2 }
  },
  steps: 500,
  bucket: "plain",
  backupAt: 0,
  restoreAt: 0,
  settings: {
    ...parameters.settings,
    grace: Duration.zero,
    quarantine: Duration.zero,
    deleteDelay: Duration.zero,
    leftoverGrace: Duration.zero,
    breakerBlobs: 1000,
    unannouncedWriters: "guarded",
    writerPatience: Duration.minutes(10)
  },
  faults: 0.08,
  lateEffects: 0.004,
  kills: 0.005,
  leaps: 0.05,
  pausesAfterRead: 0.5,
  wrongClocks: 0
})

/** Removes one protection of unannounced writers' bytes each. */
export const unannouncedMutants: ReadonlyArray<Mutant> = [
  {
    name: "unguarded",
    lacks: "the triggers against unannounced writers",
    within: 200,
    world: shared,
    mutation: () => ({
      settings: { unannouncedWriters: "none" },
      prepare: (rows) => {
        rows.installation.unannouncedWritersGuarded = false
      }
    })
  },
  {
    name: "no-patience",
    lacks: "the patience before a tombstone ends",
    from: 420,
    within: 2000,
    world: shared,
    mutation: () => ({
      rows: (rows) =>
        suspects(rows, {
          endTombstones: (now, _patience, limit) =>
            Effect.andThen(
              rows.suspects.endTombstones(now, 0, limit),
              rows.suspects.endTombstones(now, 0, limit)
            )
        })
    })
  },
  {
    name: "lessees-uncounted",
    lacks: "the tombstones that last because a DELETE of their key had no definite answer",
    from: 670,
    within: 3000,
    world: shared,
    mutation: () => ({
      rows: (rows, state) => ({
        ...rows,
        journal: {
          ...rows.journal,
          confirm: (keys) =>
            Effect.tap(rows.journal.confirm(keys), () =>
              Effect.sync(() => {
                for (const [key, tombstone] of state.buriedKeys)
                  state.buriedKeys.set(key, { ...tombstone, lasting: false })
              })
            )
        }
      })
    })
  },
  {
    name: "suspects-trusted",
    lacks: "the copy of a suspect's bytes to a fresh key while a DELETE may be on its way",
    within: 2000,
    world: shared,
    mutation: () => ({
      rows: (rows, state) =>
        suspects(rows, {
          page: (after, limit) =>
            Effect.map(rows.suspects.page(after, limit), (page) =>
              page.map((suspect) => ({ ...suspect, settled: true }))
            ),
          trust: ({ digest }) =>
            Effect.sync(() => {
              state.suspects.delete(digest)
              return "verified" as const
            })
        })
    })
  },
  {
    name: "leftovers-unburied",
    lacks: "the tombstone of a key that a search for leftovers journals",
    within: 3000,
    world: shared,
    mutation: () => ({
      rows: (rows, state) => ({
        ...rows,
        leftovers: {
          ...rows.leftovers,
          journal: (...args) =>
            Effect.tap(rows.leftovers.journal(...args), (keys) =>
              Effect.sync(() => {
                for (const key of keys) state.buriedKeys.delete(key)
              })
            )
        }
      })
    })
  }
]
