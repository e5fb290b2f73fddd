/** Mutants of the protocol between writers and collectors. */

import { Duration, Effect, Stream } from "effect"
import type { HostStatements, PinChange } from "../../../src/database/Database.ts"
import type { HostRow, State } from "../../../src/database/Memory.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { Databases } from "../world/Databases.ts"
import { WithoutForeignKey } from "../world/References.ts"
import { blobs, journal, type Mutant, orphans, paused, whileReplaced } from "./Mutant.ts"

/** Removes one rule of the protocol each. */
export const collectorMutants: ReadonlyArray<Mutant> = [
  {
    name: "no-look-under-lock",
    lacks: "the second look for references under the row lock, before a purge",
    from: 50,
    within: 300,
    world: paused,
    mutation: () => {
      // This is what one statement would do: it reads the snapshot from before its lock was granted.
      let before: ReadonlyMap<string, HostRow> = new Map()
      return {
        rows: (rows, state) =>
          orphans(rows, {
            find: (slice) => {
              before = new Map(state.references)
              return rows.orphans.find(slice)
            },
            purge: (request) => whileReplaced(state.references, before, rows.orphans.purge(request))
          })
      }
    }
  },
  {
    name: "object-first",
    lacks: "the order of deletion: the row is deleted and its key journaled before the object is deleted",
    within: 200,
    mutation: () => ({
      backends: ({ database, storage }, state) => ({
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
    lacks: "the check that the intent still exists when a blob is published",
    within: 200,
    mutation: () => ({
      rows: (rows) =>
        blobs(rows, {
          publish: (now, publications, options) =>
            Effect.andThen(
              rows.blobs.intend(publications.map(({ key, digest }) => ({ key, digest, expiresAt: now }))),
              rows.blobs.publish(now, publications, options)
            )
        })
    })
  },
  {
    name: "keys-used-twice",
    lacks: "a fresh key for every upload attempt",
    within: 100,
    mutation: () => ({ nonce: () => "always-the-same" })
  },
  {
    name: "adopt-without-lock",
    lacks: "the lock on the blob's row while a reference is written",
    within: 500,
    mutation: () => ({
      backends: ({ database, storage, step }) => ({
        storage,
        database: blobs(database, {
          adopt: ((now, digests, change) =>
            Effect.gen(function* () {
              const { commit, ...holds } = (change ?? {}) as PinChange &
                HostStatements<ReadonlySet<Digest>, never>
              if (commit === undefined) return yield* database.blobs.adopt(now, digests, change)
              const known = new Set<Digest>()
              for (const digest of digests) {
                if ((yield* database.blobs.locate(digest))._tag === "Some") known.add(digest)
              }
              yield* database.blobs.adopt(now, [], holds)
              if (known.size === 0) return known
              return yield* step(
                "adopt without lock",
                [[...known]],
                Effect.as(Effect.provideService(commit(known), WithoutForeignKey, true), known)
              )
            })) as Databases["blobs"]["adopt"]
        })
      })
    })
  },
  {
    name: "leftovers-before-listing",
    lacks: "the order of the search for leftovers: list the store first, then ask the database for owners",
    within: 500,
    mutation: () => {
      // The owners as the listing collector saw them before it listed.
      let owned: ReadonlySet<ObjectKey> = new Set()
      const owners = (state: State) =>
        new Set([
          ...[...state.blobs.values()].map(({ key }) => key),
          ...state.intents.keys(),
          ...state.journal.keys()
        ])
      return {
        settings: { leftoverEvery: Duration.zero, leftoverGrace: Duration.zero },
        backends: ({ database, storage, step }, state) => ({
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
          } as Databases
        })
      }
    }
  },
  {
    name: "announced-late",
    lacks: "the intent that is written before the first byte of an upload",
    within: 500,
    mutation: () => ({
      settings: { leftoverEvery: Duration.zero, leftoverGrace: Duration.zero },
      rows: (rows) =>
        blobs(rows, {
          intend: () => Effect.void,
          publish: (now, publications, options) =>
            Effect.andThen(
              rows.blobs.intend(publications.map(({ key, digest }) => ({ key, digest, expiresAt: now }))),
              rows.blobs.publish(now, publications, options)
            )
        })
    })
  },
  {
    name: "announced-again",
    lacks: "a new key after an intent whose outcome is unknown",
    from: 120,
    within: 1500,
    mutation: () => ({
      backends: ({ database, storage }) => ({
        storage,
        database: blobs(database, {
          intend: (intents) => Effect.retry(database.blobs.intend(intents), { times: 3 })
        })
      })
    })
  },
  {
    name: "no-reaper",
    lacks: "the reaper of intents whose upload never finished",
    within: 200,
    mutation: () => ({ rows: (rows) => journal(rows, { reapIntents: () => Effect.succeed(0) }) })
  },
  {
    name: "no-leftovers",
    lacks: "the search for leftovers",
    within: 2000,
    mutation: () => ({
      rows: (rows) => ({ ...rows, leftovers: { ...rows.leftovers, journal: () => Effect.succeed([]) } })
    })
  },
  {
    name: "no-second-try",
    lacks: "the retry of journaled keys by later sweeps",
    within: 50,
    mutation: () => ({
      rows: (rows) => journal(rows, { claim: () => Effect.succeed({ entries: [], readopted: 0 }) })
    })
  },
  {
    name: "confirmed-unseen",
    lacks: "the wait for the store's answer before a journal row is deleted",
    within: 1000,
    mutation: () => ({
      // The search for leftovers would hide the defect of the journal.
      settings: { leftoverEvery: Duration.days(1000) },
      rows: (rows) => journal(rows, { postpone: (some) => rows.journal.confirm(some.map(({ key }) => key)) })
    })
  },
  {
    name: "pins-unseen",
    lacks: "the check for pins before a blob is condemned or purged",
    from: 90,
    within: 500,
    mutation: () => ({
      rows: (rows, state) =>
        orphans(rows, {
          find: (slice) => whileReplaced(state.pins, new Map(), rows.orphans.find(slice)),
          purge: (request) => whileReplaced(state.pins, new Map(), rows.orphans.purge(request))
        })
    })
  },
  {
    name: "pin-released-first",
    lacks: "the single transaction that writes a reference and releases its pin",
    from: 380,
    within: 2000,
    world: paused,
    mutation: () => ({
      backends: ({ database, storage }) => ({
        storage,
        database: blobs(database, {
          adopt: (now, digests, { release = [], ...holds } = {}) =>
            Effect.andThen(
              release.length === 0 ? Effect.succeed(0) : database.blobs.unpin(release),
              database.blobs.adopt(now, digests, holds)
            )
        })
      })
    })
  },
  {
    name: "pins-for-ever",
    lacks: "the expiry of pins",
    within: 50,
    mutation: () => ({ rows: (rows) => journal(rows, { expirePins: () => Effect.succeed(0) }) })
  },
  {
    name: "no-listing-of-parts",
    lacks: "the search for unfinished uploads in parts",
    within: 500,
    mutation: () => ({
      backends: ({ database, storage }) => ({
        database,
        storage: { ...storage, multiparts: () => Stream.empty }
      })
    })
  },
  {
    name: "clocks-unasked",
    lacks: "the clock guard",
    within: 200,
    mutation: () => ({
      backends: ({ database, storage }) => ({
        database: { ...database, skew: Effect.succeed(0) },
        storage: { ...storage, skew: Effect.succeedNone }
      })
    })
  },
  {
    name: "no-grace",
    lacks: "the grace period, and the reset of a sighting when a blob is used again",
    from: 65,
    within: 500,
    mutation: () => ({ settings: { grace: Duration.zero, quarantine: Duration.zero } })
  }
]
