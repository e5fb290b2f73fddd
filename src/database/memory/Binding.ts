/** The binding, in memory. */
import { Effect } from "effect"
import type { Binding, Bound } from "../Database.ts"
import { byKey, heldDigests, type State } from "./State.ts"

/** Returns the verbs of the binding over `state`. */
export const binding = (state: State): Binding => {
  const change = (to: Partial<Bound>) => {
    if (state.binding !== null) state.binding = { ...state.binding, ...to }
  }
  return {
    read: Effect.sync(() => ({
      bound: state.binding,
      catalogue: { catalogue: "memory" },
      here: state.here,
      listing:
        state.listing === null
          ? null
          : { startedAt: state.listing.startedAt, ended: state.listing.endedAt !== null }
    })),
    bind: (now, id, identity, here) =>
      Effect.sync(() => {
        state.binding ??= {
          id,
          boundAt: now,
          identity,
          ...here,
          sweptAt: null,
          usualGapMillis: null,
          foundShareMin: 0.9,
          lost: null
        }
      }),
    remember: (now, here, usualGapMillis) =>
      Effect.sync(() => change({ ...here, sweptAt: now, usualGapMillis })),
    suspect: (lost, here, usualGapMillis) =>
      Effect.sync(() => {
        const before = state.binding?.lost ?? lost
        const [from, to] = [Math.min(lost.from, before.from), Math.max(lost.to, before.to)]
        for (const [key, { attempts, claimedUntil, reason }] of state.journal)
          if (reason === "leftover" && claimedUntil === null && attempts === 0) state.journal.delete(key)
        change({ ...here, usualGapMillis, sweptAt: lost.to, lost: { ...lost, from, to } })
      }),
    release: (foundAt) =>
      Effect.sync(() => {
        if (state.binding?.lost?.foundAt === foundAt) change({ lost: null })
      }),
    rebind: (now, identity, here, foundShareMin, changed) =>
      Effect.sync(() => {
        change({ identity, ...here, boundAt: now, foundShareMin })
        const forgotten = {
          journaled: changed.store ? state.journal.size : 0,
          uploads: changed.store ? state.intents.size + state.chunks.size : 0,
          orphans: changed.catalogue ? state.orphans.size : 0
        }
        if (changed.store) for (const rows of [state.journal, state.intents, state.chunks]) rows.clear()
        if (changed.store || changed.catalogue) state.listing = null
        if (changed.catalogue) forgetCatalogue(state)
        return forgotten
      }),
    sample: (createdBefore, limit) =>
      Effect.sync(() => {
        const held = heldDigests(state)
        const rows = byKey(state.blobs).filter(([, row]) => row.createdAt <= createdBefore)
        const referenced = rows.filter(([digest]) => held.has(digest))
        const drawn = referenced.length > 0 ? referenced : rows
        // Evenly, because rows that were written together are alike.
        return Array.from({ length: Math.min(limit, drawn.length) }, (_, n) => {
          const [digest, { key }] = drawn[
            Math.floor((n * drawn.length) / Math.min(limit, drawn.length))
          ] as (typeof rows)[number]
          return { digest, key, referenced: held.has(digest) }
        })
      }),
    due: (limit) =>
      Effect.sync(() =>
        byKey(state.orphans)
          .flatMap(([digest, { condemnedAt }]) => {
            const row = state.blobs.get(digest)
            return condemnedAt === null || row === undefined ? [] : [{ digest, key: row.key, condemnedAt }]
          })
          .sort((a, b) => a.condemnedAt - b.condemnedAt)
          .slice(0, limit)
          .map(({ digest, key }) => ({ digest, key, referenced: false }))
      )
  }
}

const forgetCatalogue = (state: State): void => {
  state.orphans.clear()
  state.candidates.length = 0
  Object.assign(state.scan, { position: null, done: 0 })
  state.remembered.keys.clear()
  state.remembered.held = false
}
