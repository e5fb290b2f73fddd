/** What retention rules ask of the database, in memory. */
import { Effect } from "effect"
import type {
  ListedManifest,
  Pull,
  RecordOptions,
  Retention,
  RetentionState,
  TagUse
} from "../contract/Retention.ts"
import { judgements } from "./Judgements.ts"
import { release } from "./ManifestRows.ts"
import { manifestId, type RegistryState, type TagRow } from "./RegistryState.ts"

/** Returns the verbs of retention over `state`. */
export const retention = (state: RegistryState): Retention => ({
  state: Effect.sync(() => ({ ...state.retention })),
  propose: (now, rules) =>
    Effect.sync(() => {
      const { proposed, proposedAt } = state.retention
      const since = proposed === rules && proposedAt !== null ? proposedAt : now
      change(state, { proposed: rules, proposedAt: since })
      return since
    }),
  settle: (now, rules, keys) =>
    Effect.sync(() => {
      if (keys !== undefined && state.judging.key !== keys.before) return
      if (keys !== undefined) state.judging.key = keys.after
      change(state, { accepted: rules, proposed: null, proposedAt: null, judgedAt: now })
    }),
  ...judgements(state),
  tags: (repositories, after, limit) =>
    Effect.sync(() =>
      [...state.tags.values()]
        .filter(({ repository }) => repositories.includes(repository))
        .filter((row) => after === null || isBefore(after, row))
        .sort((a, b) => (isBefore(a, b) ? -1 : 1))
        .slice(0, limit)
        .map(useOf)
    ),
  date: (now, latest, tags) => Effect.sync(() => date(state, now, latest, tags)),
  record: (now, pulls, options) => Effect.sync(() => record(state, now, pulls, options)),
  listed: (manifests) =>
    Effect.sync(() => {
      const wanted = new Set(manifests.map(({ digest, repository }) => manifestId(repository, digest)))
      return [...state.manifests.values()]
        .flatMap(({ digest: index, references, repository }) =>
          references.flatMap(({ digest, kind }): ReadonlyArray<ListedManifest> => {
            const isWanted = kind === "manifest" && wanted.has(manifestId(repository, digest))
            return isWanted ? [{ repository, digest, index }] : []
          })
        )
        .sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1))
    }),
  untag: (now, repository, tags) => Effect.sync(() => untag(state, now, repository, tags))
})

const orderOf = ({ digest, index, repository }: ListedManifest) => `${repository} ${digest} ${index}`

const change = (state: RegistryState, to: Partial<RetentionState>): void => {
  Object.assign(state.retention, to)
}

const useOf = ({ digest, name, pulledAt, pushedAt, repository }: TagRow): TagUse => ({
  repository,
  name,
  digest,
  pushedAt: pushedAt ?? null,
  pulledAt: pulledAt ?? null
})

const isBefore = (a: Pick<TagRow, "repository" | "name">, b: Pick<TagRow, "repository" | "name">) =>
  a.repository === b.repository ? a.name < b.name : a.repository < b.repository

const date = (
  state: RegistryState,
  now: number,
  latest: number,
  tags: Parameters<Retention["date"]>[2]
): number => {
  let dated = 0
  for (const { name, repository } of tags) {
    const id = manifestId(repository, name)
    const row = state.tags.get(id)
    if (row === undefined || (row.pushedAt !== undefined && row.pushedAt <= latest)) continue
    state.tags.set(id, { ...row, pushedAt: now })
    const { pullsSince } = state.retention
    if (row.pushedAt === undefined && pullsSince !== null)
      change(state, { pullsSince: Math.max(pullsSince, now) })
    dated += 1
  }
  return dated
}

const record = (
  state: RegistryState,
  now: number,
  pulls: ReadonlyArray<Pull>,
  { everyMillis, isComplete }: RecordOptions
): void => {
  for (const { at, name, repository } of pulls) {
    const isPulled = (row: TagRow) => {
      if (name._tag === "Tag") return row.name === name.tag
      const manifest = state.manifests.get(manifestId(repository, row.digest))
      const isListed = manifest?.references.some(
        (one) => one.kind === "manifest" && one.digest === name.digest
      )
      return row.digest === name.digest || isListed === true
    }
    for (const [id, row] of state.tags) {
      if (row.repository !== repository || !isPulled(row)) continue
      if (row.pulledAt === undefined || row.pulledAt <= at - everyMillis)
        state.tags.set(id, { ...row, pulledAt: at })
    }
  }
  if (!isComplete || state.retention.pullsSince === null) change(state, { pullsSince: now })
}

const untag = (
  state: RegistryState,
  now: number,
  repository: string,
  tags: ReadonlyArray<TagUse>
): ReadonlyArray<string> => {
  const unchanged = tags.filter((tag) => {
    const row = state.tags.get(manifestId(repository, tag.name))
    if (row === undefined) return false
    const { digest, pulledAt, pushedAt } = useOf(row)
    return digest === tag.digest && pushedAt === tag.pushedAt && pulledAt === tag.pulledAt
  })
  const removed = withoutListed(state, repository, unchanged)
  for (const { name } of removed) state.tags.delete(manifestId(repository, name))
  for (const { digest } of removed) release(state, now, repository, digest, "cascade")
  return removed.map(({ name }) => name).sort()
}

/** Leaves out the tags of manifests that an index lists which has another tag. */
const withoutListed = (
  state: RegistryState,
  repository: string,
  tags: ReadonlyArray<TagUse>
): ReadonlyArray<TagUse> => {
  const names = new Set(tags.map(({ name }) => name))
  const kept = new Set(
    [...state.tags.values()]
      .filter((tag) => tag.repository === repository && !names.has(tag.name))
      .flatMap(({ digest }) => state.manifests.get(manifestId(repository, digest))?.references ?? [])
      .flatMap(({ digest, kind }) => (kind === "manifest" ? [digest] : []))
  )
  const left = tags.filter(({ digest }) => !kept.has(digest))
  return left.length === tags.length ? left : withoutListed(state, repository, left)
}
