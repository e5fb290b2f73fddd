/** What the rules last made of each repository, in memory. */
import { Effect } from "effect"
import type { Judgement, Judgements, JudgingProgress, PushedRepository } from "../contract/Judgements.ts"
import type { JudgementRow, RegistryState } from "./RegistryState.ts"

/** Returns the verbs of judgements over `state`. */
export const judgements = (state: RegistryState): Judgements => ({
  begin: (now, key, { from, to }) =>
    Effect.sync(() => {
      const { judging } = state
      const { lookedAt } = judging.progress
      if (judging.key !== key || lookedAt < from || lookedAt > to) {
        judging.key = key
        judging.progress = { listedTo: "", lookedAt: now }
        judging.rows.clear()
      }
      return judging.progress
    }),
  note: (now, key, judged, progress) => Effect.sync(() => note(state, now, key, judged, progress)),
  pushes: (since) => Effect.sync(() => pushes(state, since)),
  due: ({ changedAt, now }, limit) =>
    Effect.sync(() =>
      [...state.judging.rows.values()]
        .filter(({ dueAt, judgedAt, removable }) => {
          const isOutdated = changedAt !== null && removable > 0 && judgedAt <= changedAt
          return judgedAt < now && (dueAt <= now || isOutdated)
        })
        .sort((a, b) => a.dueAt - b.dueAt || (a.repository < b.repository ? -1 : 1))
        .slice(0, limit)
        .map(({ repository }) => repository)
    ),
  sums: (key) =>
    Effect.sync(() => {
      if (state.judging.key !== key) return null
      const sum = { tags: 0, removable: 0, stricter: 0, confirmed: 0 }
      for (const row of state.judging.rows.values()) {
        sum.tags += row.tags
        sum.removable += row.removable
        sum.stricter += row.stricter
        sum.confirmed += row.confirmed
      }
      return sum
    }),
  removable: (key, after, limit) =>
    Effect.sync(() =>
      sorted(state)
        .filter(({ removable, repository }) => removable > 0 && repository > after)
        .filter(() => state.judging.key === key)
        .slice(0, limit)
        .map(({ removable, repository }) => ({ repository, removable }))
    ),
  count: (after, limit) =>
    Effect.sync(() => {
      const page = sorted(state)
        .filter(({ repository }) => repository > after)
        .slice(0, limit)
        .map(({ repository }) => repository)
      const tags = [...state.tags.values()].filter(({ repository }) => page.includes(repository)).length
      return { tags, last: page.at(-1) ?? null }
    })
})

const sorted = ({ judging }: RegistryState): ReadonlyArray<JudgementRow> =>
  [...judging.rows.values()].sort((a, b) => (a.repository < b.repository ? -1 : 1))

const note = (
  { judging }: RegistryState,
  now: number,
  key: string,
  judged: ReadonlyArray<Judgement>,
  progress?: JudgingProgress
): boolean => {
  if (judging.key !== key) return false
  for (const one of judged) {
    if (one.tags === 0) judging.rows.delete(one.repository)
    else judging.rows.set(one.repository, { ...one, judgedAt: now })
  }
  if (progress !== undefined) judging.progress = progress
  return true
}

const pushes = ({ judging, tags }: RegistryState, since: number): ReadonlyArray<PushedRepository> => {
  const found = new Map<string, PushedRepository>()
  for (const { pushedAt, repository } of tags.values()) {
    if (pushedAt !== undefined && pushedAt <= since) continue
    const { lastAt, pushed } = found.get(repository) ?? { lastAt: null, pushed: 0 }
    found.set(repository, {
      repository,
      pushed: pushed + (pushedAt === undefined ? 0 : 1),
      lastAt: pushedAt === undefined ? lastAt : Math.max(pushedAt, lastAt ?? pushedAt),
      judgedAt: judging.rows.get(repository)?.judgedAt ?? null
    })
  }
  return [...found.values()].sort((a, b) => (a.repository < b.repository ? -1 : 1))
}
