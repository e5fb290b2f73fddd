/**
 * The code without one of its protections each. A simulation that does not notice proves nothing, so the tests run
 * every mutant and see it fail, on seeds that the code as it is passes.
 */
import { Duration, Effect, Stream } from "effect"
import type { Database, Reference } from "../../src/database/Database.ts"
import { referenceId, type State } from "../../src/database/Memory.ts"
import type { Digest } from "../../src/domain/Digest.ts"
import type { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type { Tampering } from "./world/Simulation.ts"

export interface Mutant {
  readonly name: string
  /** What is taken away. */
  readonly lacks: string
  /** The first seeds, counted from 1, of which at least one must fail. */
  readonly within: number
  /** Of a world's tampering; called once a world, since some remember what they saw. */
  readonly tampering: () => Tampering
}

type DatabaseService = Database["Service"]

/** Runs `effect` while `map` has the entries of `other`; what it adds or removes meanwhile is done to `map`. */
const as = <K, V, A, E>(map: Map<K, V>, other: ReadonlyMap<K, V>, effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const now = [...map]
    map.clear()
    for (const [key, value] of other) map.set(key, value)
    return Effect.ensuring(
      effect,
      Effect.sync(() => {
        map.clear()
        for (const [key, value] of now) map.set(key, value)
      })
    )
  })

const orphans = (rows: DatabaseService, orphans: Partial<DatabaseService["orphans"]>): DatabaseService => ({
  ...rows,
  orphans: { ...rows.orphans, ...orphans }
})
const journal = (rows: DatabaseService, journal: Partial<DatabaseService["journal"]>): DatabaseService => ({
  ...rows,
  journal: { ...rows.journal, ...journal }
})
const blobs = (rows: DatabaseService, blobs: Partial<DatabaseService["blobs"]>): DatabaseService => ({
  ...rows,
  blobs: { ...rows.blobs, ...blobs }
})

const referTo = (state: State, references: ReadonlyArray<Reference>) => {
  for (const reference of references) state.references.set(referenceId(reference), reference)
}

export const mutants: ReadonlyArray<Mutant> = [
  {
    name: "no-look-under-lock",
    lacks: "the second look for references, under the lock of the blob's row, before it is purged",
    within: 1000,
    tampering: () => {
      // One statement would do this: it looks at the snapshot from before its lock was granted.
      let before: ReadonlyMap<string, Reference> = new Map()
      return {
        rows: (rows, state) =>
          orphans(rows, {
            find: (slice) => {
              before = new Map(state.references)
              return rows.orphans.find(slice)
            },
            purge: (request) => as(state.references, before, rows.orphans.purge(request))
          })
      }
    }
  },
  {
    name: "object-first",
    lacks: "the order: the row is gone and its key journaled before the object is deleted",
    within: 200,
    tampering: () => ({
      services: ({ database, storage }, state) => ({
        storage,
        database: orphans(database, {
          purge: (request) =>
            Effect.suspend(() => {
              const keys = [...state.orphans].flatMap(([digest, { condemnedAt }]) => {
                const row = state.blobs.get(digest)
                const due = condemnedAt !== null && condemnedAt <= request.condemnedCutoff
                return due && row !== undefined ? [row.key] : []
              })
              return Effect.andThen(Effect.ignore(storage.delete(keys)), database.orphans.purge(request))
            })
        })
      })
    })
  },
  {
    name: "publish-without-intent",
    lacks: "the intent that must still be there when an upload becomes a blob",
    within: 200,
    tampering: () => ({
      rows: (rows) =>
        blobs(rows, {
          publish: (now, publications) =>
            Effect.andThen(
              rows.blobs.intend(publications.map(({ key, digest }) => ({ key, digest, expiresAt: now }))),
              rows.blobs.publish(now, publications)
            )
        })
    })
  },
  {
    name: "keys-used-twice",
    lacks: "a fresh key for every attempt",
    within: 100,
    tampering: () => ({ nonce: () => "always-the-same" })
  },
  {
    name: "adopt-without-lock",
    lacks: "the lock on the blob's row while a reference to it is written",
    within: 500,
    tampering: () => ({
      services: ({ database, storage, step }, state) => ({
        storage,
        database: blobs(database, {
          adopt: (now, references, holds) =>
            Effect.gen(function* () {
              const known = new Set<Digest>()
              for (const { digest } of references) {
                if ((yield* database.blobs.locate(digest))._tag === "Some") known.add(digest)
              }
              const living = references.filter(({ digest }) => known.has(digest))
              yield* database.blobs.adopt(now, [], holds)
              return yield* step(
                "adopt without lock",
                [living],
                Effect.sync(() => {
                  referTo(state, living)
                  return known
                })
              )
            })
        })
      })
    })
  },
  {
    name: "leftovers-before-listing",
    lacks: "the order: first the store is listed, then the database is asked who owns what",
    within: 500,
    tampering: () => {
      // Of the collector that lists; others would not know better.
      let owned: ReadonlySet<ObjectKey> = new Set()
      const owners = (state: State) =>
        new Set([
          ...[...state.blobs.values()].map(({ key }) => key),
          ...state.intents.keys(),
          ...state.journal.keys()
        ])
      return {
        settings: { leftoverEvery: Duration.zero, leftoverGrace: Duration.zero },
        services: ({ database, storage, step }, state) => ({
          storage,
          database: {
            ...database,
            leftovers: {
              ...database.leftovers,
              claim: (...args) =>
                Effect.tap(database.leftovers.claim(...args), () =>
                  Effect.sync(() => {
                    owned = owners(state)
                  })
                ),
              journal: (_now, objects, notBefore) =>
                step(
                  "leftovers.journal",
                  [objects],
                  Effect.sync(() => {
                    const unowned = objects.filter(({ key }) => !owned.has(key)).map(({ key }) => key)
                    for (const key of unowned)
                      state.journal.set(key, {
                        digest: null,
                        sizeBytes: 0,
                        reason: "leftover",
                        notBefore,
                        claimedUntil: null,
                        attempts: 0,
                        lastError: null,
                        deadAt: null,
                        uploadId: null
                      })
                    return unowned
                  })
                )
            },
            audit: {
              ...database.audit,
              lookup: (keys) =>
                Effect.succeed(
                  keys
                    .filter((key) => owned.has(key))
                    .map((key) => ({ owner: "intent" as const, key, digest: null, sizeBytes: 0 }))
                )
            }
          } as DatabaseService
        })
      }
    }
  },
  {
    name: "announced-late",
    lacks: "the announcement of an upload before its first byte",
    within: 500,
    tampering: () => ({
      settings: { leftoverEvery: Duration.zero, leftoverGrace: Duration.zero },
      rows: (rows) =>
        blobs(rows, {
          intend: () => Effect.void,
          publish: (now, publications) =>
            Effect.andThen(
              rows.blobs.intend(publications.map(({ key, digest }) => ({ key, digest, expiresAt: now }))),
              rows.blobs.publish(now, publications)
            )
        })
    })
  },
  {
    name: "announced-again",
    lacks: "another key, once nobody knows whether the first was announced",
    within: 1500,
    tampering: () => ({
      services: ({ database, storage }) => ({
        storage,
        database: blobs(database, {
          intend: (intents) => Effect.retry(database.blobs.intend(intents), { times: 3 })
        })
      })
    })
  },
  {
    name: "no-reaper",
    lacks: "the end of uploads that were announced and never finished",
    within: 200,
    tampering: () => ({ rows: (rows) => journal(rows, { reapIntents: () => Effect.succeed(0) }) })
  },
  {
    name: "no-leftovers",
    lacks: "the search for objects that nothing owns",
    within: 2000,
    tampering: () => ({
      rows: (rows) => ({ ...rows, leftovers: { ...rows.leftovers, journal: () => Effect.succeed([]) } })
    })
  },
  {
    name: "no-second-try",
    lacks: "the later sweep that goes on with journaled keys",
    within: 50,
    tampering: () => ({
      rows: (rows) => journal(rows, { claim: () => Effect.succeed({ entries: [], readopted: 0 }) })
    })
  },
  {
    name: "confirmed-unseen",
    lacks: "the store's word that an object is gone, before its key is struck off",
    within: 1000,
    tampering: () => ({
      // Leftovers would find it again; the journal must not rely on them.
      settings: { leftoverEvery: Duration.days(1000) },
      rows: (rows) => journal(rows, { postpone: (some) => rows.journal.confirm(some.map(({ key }) => key)) })
    })
  },
  {
    name: "pins-unseen",
    lacks: "the look for pins before a blob is condemned and before it is purged",
    within: 500,
    tampering: () => ({
      rows: (rows, state) =>
        orphans(rows, {
          find: (slice) => as(state.pins, new Map(), rows.orphans.find(slice)),
          purge: (request) => as(state.pins, new Map(), rows.orphans.purge(request))
        })
    })
  },
  {
    name: "pin-released-first",
    lacks: "one transaction for a reference and the end of the pin that kept the blob for it",
    within: 2000,
    tampering: () => ({
      services: ({ database, storage }) => ({
        storage,
        database: blobs(database, {
          adopt: (now, references, { release = [], ...holds } = {}) =>
            Effect.andThen(
              release.length === 0 ? Effect.succeed(0) : database.blobs.unpin(release),
              database.blobs.adopt(now, references, holds)
            )
        })
      })
    })
  },
  {
    name: "pins-for-ever",
    lacks: "the end of pins that nobody releases",
    within: 50,
    tampering: () => ({ rows: (rows) => blobs(rows, { expirePins: () => Effect.succeed(0) }) })
  },
  {
    name: "no-listing-of-parts",
    lacks: "the search for uploads in parts that nobody finished",
    within: 500,
    tampering: () => ({
      services: ({ database, storage }) => ({
        database,
        storage: { ...storage, multiparts: () => Stream.empty }
      })
    })
  },
  {
    name: "clocks-unasked",
    lacks: "the clock guard",
    within: 200,
    tampering: () => ({
      services: ({ database, storage }) => ({
        database: { ...database, skew: Effect.succeed(0) },
        storage: { ...storage, skew: Effect.succeedNone }
      })
    })
  },
  {
    name: "no-grace",
    lacks: "the grace period, and the end of a sighting when a blob is used again",
    within: 500,
    tampering: () => ({ settings: { grace: Duration.zero, quarantine: Duration.zero } })
  }
]

export const named = (name: string): Mutant | undefined => mutants.find((mutant) => mutant.name === name)
