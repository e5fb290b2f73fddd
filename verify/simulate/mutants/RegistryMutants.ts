/** Mutants of upload sessions, manifests and tags. */
import { Effect } from "effect"
import type { Pin } from "../../../src/database/Database.ts"
import type { RegistryState } from "../../../src/oci/database/Memory.ts"
import type { Databases } from "../world/Databases.ts"
import { type Mutant, orphans, whileReplaced } from "./Mutant.ts"

const manifests = (rows: Databases, manifests: Partial<Databases["manifests"]>): Databases => ({
  ...rows,
  manifests: { ...rows.manifests, ...manifests }
})

const sessions = (rows: Databases, sessions: Partial<Databases["sessions"]>): Databases => ({
  ...rows,
  sessions: { ...rows.sessions, ...sessions }
})

/** Runs `effect` while no index lists its manifests. */
const withoutLists = <A, E>({ manifests }: RegistryState, effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const lists = new Map([...manifests].map(([id, { references }]) => [id, references]))
    for (const [id, row] of manifests)
      manifests.set(id, { ...row, references: row.references.filter(({ kind }) => kind !== "manifest") })
    return Effect.ensuring(
      effect,
      Effect.sync(() => {
        for (const [id, row] of manifests) manifests.set(id, { ...row, references: lists.get(id) ?? [] })
      })
    )
  })

const withoutHolds = <A extends { readonly pins?: ReadonlyArray<Pin> }>(change: A): A => ({
  ...change,
  pins: (change.pins ?? []).filter(({ id }) => !id.startsWith("oci:"))
})

/** Removes one protection of the registry each. */
export const registryMutants: ReadonlyArray<Mutant> = [
  {
    name: "manifests-unseen",
    lacks: "the references of manifests when a blob is condemned or purged",
    within: 200,
    mutation: () => ({
      rows: (rows, state) =>
        orphans(rows, {
          find: (slice) => whileReplaced(state.manifests, new Map(), rows.orphans.find(slice)),
          purge: (request) => whileReplaced(state.manifests, new Map(), rows.orphans.purge(request))
        })
    })
  },
  {
    name: "tags-unseen",
    lacks: "the look for tags when an untagged manifest is deleted",
    within: 2000,
    mutation: () => ({
      rows: (rows, state) =>
        manifests(rows, {
          expire: (...args) => whileReplaced(state.tags, new Map(), rows.manifests.expire(...args))
        })
    })
  },
  {
    name: "lists-unseen",
    lacks: "the look for indexes when an untagged manifest is deleted",
    from: 70,
    within: 2000,
    mutation: () => ({
      rows: (rows, state) =>
        manifests(rows, {
          expire: (...args) => withoutLists(state, rows.manifests.expire(...args))
        })
    })
  },
  {
    name: "manifests-for-ever",
    lacks: "the deletion of manifests that nothing needs",
    within: 100,
    mutation: () => ({ rows: (rows) => manifests(rows, { expire: () => Effect.succeed(0) }) })
  },
  {
    name: "no-untagged-grace",
    lacks: "the grace period of untagged manifests",
    from: 450,
    within: 2000,
    mutation: () => ({
      rows: (rows) =>
        manifests(rows, { expire: (now, _since, limit) => rows.manifests.expire(now, now, limit) })
    })
  },
  {
    name: "sessions-for-ever",
    lacks: "the expiry of idle upload sessions",
    within: 100,
    mutation: () => ({
      rows: (rows) =>
        sessions(rows, {
          expire: () => Effect.succeed({ sessions: 0, forgotten: 0, journaled: [] })
        })
    })
  },
  {
    name: "chunks-unseen",
    lacks: "the staged chunks among the owners of keys",
    within: 2000,
    mutation: () => ({
      rows: (rows, state) => ({
        ...rows,
        leftovers: {
          ...rows.leftovers,
          journal: (...args) => whileReplaced(state.chunks, new Map(), rows.leftovers.journal(...args))
        },
        audit: {
          ...rows.audit,
          lookup: (keys) => whileReplaced(state.chunks, new Map(), rows.audit.lookup(keys))
        }
      })
    })
  },
  {
    name: "holds-unseen",
    lacks: "the hold of a repository on a blob of which its client was told",
    within: 1000,
    mutation: () => ({
      rows: (rows) => ({
        ...sessions(rows, {
          complete: (now, session, token, publication) =>
            rows.sessions.complete(now, session, token, withoutHolds(publication))
        }),
        blobs: {
          ...rows.blobs,
          adopt: (now, digests, change = {}) => rows.blobs.adopt(now, digests, withoutHolds(change)),
          publish: (now, publications, options) =>
            rows.blobs.publish(now, publications.map(withoutHolds), options)
        }
      })
    })
  }
]
