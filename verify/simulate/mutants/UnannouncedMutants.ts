/** Mutants of what protects the bytes of unannounced writers. */
import { Effect } from "effect"
import type { Databases } from "../world/Databases.ts"
import type { Mutant } from "./Mutant.ts"

const suspects = (rows: Databases, suspects: Partial<Databases["suspects"]>): Databases => ({
  ...rows,
  suspects: { ...rows.suspects, ...suspects }
})

/** Removes one protection of unannounced writers' bytes each. */
export const unannouncedMutants: ReadonlyArray<Mutant> = [
  {
    name: "unguarded",
    lacks: "the triggers against unannounced writers",
    within: 500,
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
    within: 2000,
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
    within: 3000,
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
