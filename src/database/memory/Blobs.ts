/** The writers' verbs, in memory. */
import { Effect, Option } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import {
  type Blobs,
  type Joining,
  type Pin,
  type Publication,
  type PublishOutcome,
  touchEveryMillis
} from "../Database.ts"
import type { Joins } from "./HostTransactions.ts"
import { journalUnowned } from "./Leftovers.ts"
import { journalRow, type State } from "./State.ts"
import { bury, isSuspect } from "./UnannouncedWriters.ts"

/** Returns the verbs of writers over `state`. */
export const blobs = (state: State): Blobs => ({
  adopt: (now, digests, { pins = [], release = [], allOrNothing = false } = {}) =>
    Effect.sync(() => {
      const all = new Set([...digests, ...pins.map(({ digest }) => digest)])
      const live = new Set([...all].filter((digest) => touchLive(state, now, digest)))
      if (allOrNothing && live.size < all.size) return live
      const before = new Map(state.pins)
      for (const pin of pins) if (live.has(pin.digest)) setPin(state, pin)
      if (digests.every((digest) => live.has(digest))) {
        for (const id of release) {
          const pin = state.pins.get(id)
          state.pins.delete(id)
          state.pinCauses.delete(id)
          // A pin that is added and released at once is in neither snapshot that `watching` compares.
          if (state.watched && pin !== undefined && before.get(id)?.digest !== pin.digest)
            state.candidates.push(pin.digest)
        }
      }
      return live
    }),
  intend: (intents) =>
    Effect.sync(() => {
      for (const intent of intents) {
        const uploadId = state.intents.get(intent.key)?.uploadId ?? null
        state.intents.set(intent.key, { ...intent, uploadId })
      }
    }),
  renew: (keys, expiresAt) =>
    Effect.sync(() => {
      const found = keys.flatMap((key) => state.intents.get(key) ?? [])
      for (const intent of found)
        state.intents.set(intent.key, { ...intent, expiresAt: Math.max(intent.expiresAt, expiresAt) })
      return new Set(found.map(({ key }) => key))
    }),
  recordMultipart: (key, uploadId) =>
    Effect.sync(() => {
      const intent = state.intents.get(key)
      if (intent !== undefined) state.intents.set(key, { ...intent, uploadId })
      return intent !== undefined
    }),
  publish: (now, publications, { commit } = {}) =>
    Effect.sync(() =>
      publications.map((publication) => publish(state, now, publication, commit !== undefined))
    ),
  unpin: (ids) =>
    Effect.sync(() => {
      for (const id of ids) state.pinCauses.delete(id)
      return ids.filter((id) => state.pins.delete(id)).length
    }),
  locate: (digest) =>
    Effect.sync(() =>
      Option.map(Option.fromUndefinedOr(state.blobs.get(digest)), ({ key, sizeBytes }) => ({
        key,
        sizeBytes
      }))
    ),
  owned: (keys) =>
    Effect.sync(() => {
      const owners = new Set([
        ...[...state.intents.keys(), ...state.chunks.keys()],
        ...[...state.blobs.values()].map((row) => row.key)
      ])
      return new Set(keys.filter((key) => owners.has(key)))
    }),
  discard: (now, object) => Effect.sync(() => journalUnowned(state, [object], now).length > 0)
})

/** Returns whether a call of a writers' verb joins the transaction that its caller has open. */
export const joins: Joins = (verb, args: ReadonlyArray<unknown>) => {
  if (verb === "unpin") return true
  const options = verb === "adopt" ? args[2] : verb === "locate" ? args[1] : undefined
  return (options as Joining | undefined)?.joins === true
}

/** Marks the blob used and ends its sighting. Returns false if it is not live, or suspect. */
export const touchLive = (state: State, now: number, digest: Digest): boolean => {
  const row = state.blobs.get(digest)
  if (row === undefined || isSuspect(state, digest)) return false
  if (row.lastUsedAt <= now - touchEveryMillis) state.blobs.set(digest, { ...row, lastUsedAt: now })
  state.orphans.delete(digest)
  return true
}

/** Adds a pin. Of equal ids the last wins, and the later expiry. */
const setPin = (state: State, pin: Pin): void => {
  const before = state.pins.get(pin.id)?.expiresAt ?? pin.expiresAt
  state.pins.set(pin.id, { ...pin, expiresAt: Math.max(pin.expiresAt, before) })
}

/** Publishes one blob. */
export const publish = (
  state: State,
  now: number,
  { key, digest, sizeBytes, pins = [] }: Publication,
  hasHost = false
): PublishOutcome => {
  if (!state.intents.delete(key)) return "expired"
  const row = state.blobs.get(digest)
  const replaces = isSuspect(state, digest)
  state.blobs.set(
    digest,
    row === undefined
      ? { key, sizeBytes, createdAt: now, lastUsedAt: now }
      : { ...row, ...(replaces ? { key, sizeBytes } : {}), lastUsedAt: Math.max(row.lastUsedAt, now) }
  )
  if (row !== undefined && replaces) bury(state, row.key)
  if (row !== undefined)
    state.journal.set(replaces ? row.key : key, journalRow(digest, sizeBytes, "duplicate", now))
  state.orphans.delete(digest)
  for (const pin of pins) {
    if (row === undefined && !hasHost && !state.pins.has(pin.id)) state.pinCauses.set(pin.id, "unused")
    setPin(state, pin)
  }
  return row === undefined || replaces ? "published" : "deduplicated"
}
