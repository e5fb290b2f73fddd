/** The sweeps that ended, in memory. */
import { Effect } from "effect"
import { type History, type HistoryEntry, historyBatch, historyMax } from "../Database.ts"
import type { State } from "./State.ts"

/** Returns the verbs of the history over `state`. */
export const history = (state: State): History => ({
  record: ({ report, ...sweep }, keepSince, activity) =>
    Effect.sync(() => {
      const id = (state.history.at(-1)?.id ?? 0) + 1
      const isOver = (old: HistoryEntry) => old.endedAt < keepSince || old.id <= id - historyMax
      const over = state.history.slice(0, historyBatch).filter(isOver)
      for (const old of over) state.history.splice(state.history.indexOf(old), 1)
      state.history.push({ id, ...sweep, outcome: report.outcome, report })
      const peer = state.peers.get(sweep.collector)
      if (peer !== undefined) state.peers.set(sweep.collector, { ...peer, activity })
    }),
  page: (since, before, limit) =>
    Effect.sync(() =>
      state.history
        .filter(({ endedAt, id }) => endedAt >= since && (before === null || id < before))
        .slice(-limit)
        .reverse()
    )
})
