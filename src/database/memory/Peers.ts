/** The other collectors of a catalogue, in memory. */
import { Effect } from "effect"
import type { Peer, Peers } from "../Database.ts"
import type { State } from "./State.ts"

const othersOf = (state: State, now: number, self: string): ReadonlyArray<Peer> =>
  [...state.peers.values()]
    .filter((peer) => peer.id !== self && peer.expiresAt > now)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ expiresAt: _, ...peer }) => peer)

/** Returns the verbs of peers over `state`. */
export const peers = (state: State): Peers => ({
  register: (now, expiresAt, { activity, id, settings }) =>
    Effect.sync(() => {
      for (const [other, peer] of state.peers)
        if (peer.expiresAt <= now && other !== id) state.peers.delete(other)
      const before = state.peers.get(id)?.activity ?? null
      state.peers.set(id, { id, settings, seenAt: now, activity: activity ?? before, expiresAt })
      return othersOf(state, now, id)
    }),
  tell: (id, activity, until) =>
    Effect.sync(() => {
      const peer = state.peers.get(id)
      if (peer === undefined) return
      state.peers.set(id, { ...peer, activity, expiresAt: Math.max(peer.expiresAt, until ?? 0) })
    }),
  others: (now, self) => Effect.sync(() => othersOf(state, now, self)),
  leave: (id) =>
    Effect.sync(() => {
      state.peers.delete(id)
    })
})
