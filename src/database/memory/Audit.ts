/** The audit's verbs, in memory. */
import { Effect } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Audit, KnownKey } from "../Database.ts"
import { hostRowsOf, type State } from "./State.ts"

const bytesOf = (key: string) => Buffer.from(key, "utf8")

const known = (state: State): ReadonlyArray<KnownKey> =>
  [
    ...[...state.blobs].map(
      ([digest, { key, sizeBytes }]): KnownKey => ({ key, owner: "blob", digest, sizeBytes })
    ),
    ...[...state.chunks.values()].map(
      ({ key, digest, sizeBytes }): KnownKey => ({ key, owner: "chunk", digest, sizeBytes })
    ),
    ...[...state.intents.values()].map(
      ({ key, digest }): KnownKey => ({ key, owner: "intent", digest, sizeBytes: null })
    ),
    ...[...state.journal].map(
      ([key, { digest, sizeBytes }]): KnownKey => ({ key, owner: "journal", digest, sizeBytes })
    )
  ].sort((a, b) => Buffer.compare(bytesOf(a.key), bytesOf(b.key)))

/** Returns the verbs of the audit over `state`. */
export const audit = (state: State): Audit => ({
  page: (prefix, after, limit) =>
    Effect.sync(() =>
      known(state)
        .filter(({ key }) => key.startsWith(prefix) && (after === null || isAfter(key, after)))
        .slice(0, limit)
    ),
  lookup: (keys) =>
    Effect.sync(() => {
      const asked = new Set(keys)
      return known(state).filter(({ key }) => asked.has(key))
    }),
  referrers: (digest) =>
    Effect.sync(() => {
      const ofHost = [...state.hostTables].map((table) => ({
        table,
        column: "digest",
        ids: hostRowsOf(state, table).flatMap(([id, row]) => (row.digest === digest ? id : []))
      }))
      const others = state.referringTables.map(({ table, column, rows }) => ({
        table,
        column,
        ids: rows().flatMap((row) => (row.digest === digest ? row.id : []))
      }))
      return [...ofHost, ...others]
        .filter(({ ids }) => ids.length > 0)
        .map(({ table, column, ids }) => ({
          table,
          column,
          rows: ids.length,
          sample: ids.sort().slice(0, 3)
        }))
    }),
  estimate: Effect.sync(() => state.blobs.size),
  stock: () =>
    Effect.sync(() => ({
      blobs: state.blobs.size,
      bytes: [...state.blobs.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    })),
  missingIndex: Effect.succeed(null),
  record: (audit) =>
    Effect.sync(() => {
      if (state.lastAudit === null || state.lastAudit.endedAt <= audit.endedAt) state.lastAudit = audit
    }),
  last: Effect.sync(() => state.lastAudit)
})

const isAfter = (key: ObjectKey, after: ObjectKey): boolean =>
  Buffer.compare(bytesOf(key), bytesOf(after)) > 0
