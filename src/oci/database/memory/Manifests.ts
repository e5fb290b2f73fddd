/**
 * The registry's catalogue in memory.
 *
 * `untaggedAt` is null exactly while a tag names a manifest, or after `expire` found it needed otherwise. A
 * verb that takes a tag, an index or a subject from a manifest without tags sets it.
 */
import { Effect, Option } from "effect"
import { touchLive } from "../../../database/memory/Blobs.ts"
import type { Digest } from "../../../domain/Digest.ts"
import { holdId } from "../../Names.ts"
import type {
  DeleteManifest,
  DeleteOptions,
  Manifest,
  ManifestName,
  Manifests,
  PutManifest,
  UntaggedBy,
  UntaggedExposure
} from "../contract/Manifests.ts"
import { isTagged, release, untagAttached } from "./ManifestRows.ts"
import { type ManifestRow, manifestId, type RegistryState } from "./RegistryState.ts"

/** Returns the verbs of manifests and tags over `state`. */
export const manifests = (state: RegistryState): Manifests => ({
  probe: Effect.void,
  put: (...args) => Effect.sync(() => put(state, ...args)),
  find: (repository, name) =>
    Effect.sync(() => {
      const row = rowOf(state, repository, name)
      const blob = row === undefined ? undefined : state.blobs.get(row.digest)
      return row === undefined || blob === undefined
        ? Option.none()
        : Option.some({ ...manifestOf(row), key: blob.key, untaggedAt: row.untaggedAt })
    }),
  touch: (now, repository, digest) =>
    Effect.sync(() => {
      const id = manifestId(repository, digest)
      const row = state.manifests.get(id)
      if (row !== undefined && row.untaggedAt !== null) {
        state.manifests.set(id, { ...row, untaggedAt: Math.max(row.untaggedAt, now) })
      }
      return row !== undefined
    }),
  untag: (now, repository, tag) =>
    Effect.sync(() => {
      const row = state.tags.get(manifestId(repository, tag))
      if (row === undefined) return false
      state.tags.delete(manifestId(repository, tag))
      release(state, now, repository, row.digest, "deleted")
      return true
    }),
  delete: (...args) => Effect.sync(() => remove(state, ...args)),
  tags: (repository, after, limit) =>
    Effect.sync(() => {
      if (![...state.manifests.values()].some((row) => row.repository === repository)) return Option.none()
      const names = [...state.tags.values()].flatMap((row) => (row.repository === repository ? row.name : []))
      return Option.some(pageOf(names, after, limit))
    }),
  repositories: (after, limit) =>
    Effect.sync(() =>
      pageOf(new Set([...state.manifests.values()].map((row) => row.repository)), after, limit)
    ),
  withoutTags: (repositories) => Effect.sync(() => withoutTags(state, repositories)),
  referrers: (repository, subject, artifactType, after, limit) =>
    Effect.sync(() => {
      const found = [...state.manifests.values()].filter(
        (row) =>
          row.repository === repository &&
          row.subject === subject &&
          (artifactType === null || row.artifactType === artifactType)
      )
      const digests = found.map((row) => row.digest)
      return pageOf(digests, after, limit).flatMap((digest) => {
        const row = state.manifests.get(manifestId(repository, digest))
        return row === undefined ? [] : manifestOf(row)
      })
    }),
  listing: (...args) => Effect.sync(() => listing(state, ...args)),
  blob: (repository, digest) =>
    Effect.sync(() => {
      const row = state.blobs.get(digest)
      const heldUntil = state.pins.get(holdId(repository, digest))?.expiresAt ?? null
      const isReferenced = [...state.manifests.values()].some(
        (manifest) =>
          manifest.repository === repository &&
          [manifest, ...manifest.references].some((one) => one.digest === digest)
      )
      return row === undefined || (heldUntil === null && !isReferenced)
        ? Option.none()
        : Option.some({ key: row.key, sizeBytes: row.sizeBytes, heldUntil, isReferenced })
    }),
  having: (now, repository, digests) => Effect.sync(() => having(state, now, repository, digests)),
  expire: (...args) => Effect.sync(() => expire(state, ...args)),
  redate: (now, latest, limit) => Effect.sync(() => redate(state, now, latest, limit)),
  untagged: (untaggedSince) =>
    Effect.sync(() => candidates(state, untaggedSince).filter((row) => !isNeeded(state, row)).length),
  exposure: (after, untaggedSince, unless) => Effect.sync(() => exposure(state, after, untaggedSince, unless))
})

const withoutTags = (state: RegistryState, repositories: ReadonlyArray<string>) => {
  const tagged = new Set([...state.tags.values()].map((row) => row.repository))
  const bare = repositories.filter((name) => !tagged.has(name))
  return pageOf(bare, null, bare.length)
}

const listing = (state: RegistryState, repository: string, digest: Digest, limit: number) =>
  [...state.manifests.values()]
    .filter(
      (row) =>
        row.repository === repository &&
        row.references.some((one) => one.kind === "manifest" && one.digest === digest)
    )
    .map((row) => ({ digest: row.digest, untaggedAt: row.untaggedAt }))
    .sort((one, other) => (one.digest < other.digest ? -1 : 1))
    .slice(0, limit)

const having = (state: RegistryState, now: number, repository: string, digests: ReadonlyArray<Digest>) => {
  const own = new Set(
    [...state.manifests.values()]
      .filter((row) => row.repository === repository)
      .flatMap((row) => [row.digest, ...row.references.map(({ digest }) => digest)])
  )
  const isHeld = (digest: Digest) => (state.pins.get(holdId(repository, digest))?.expiresAt ?? now) > now
  return new Set(digests.filter((digest) => state.blobs.has(digest) && (own.has(digest) || isHeld(digest))))
}

const put = (
  state: RegistryState,
  now: number,
  manifest: Manifest,
  references: Parameters<Manifests["put"]>[2],
  { tags = [], release: pins = [] }: Parameters<Manifests["put"]>[3] = {}
): PutManifest => {
  const { repository, digest } = manifest
  const all = [{ digest, kind: "itself" }, ...references]
  const live = new Set(all.flatMap((one) => (touchLive(state, now, one.digest) ? one.digest : [])))
  const missing = all.filter(
    (one) =>
      !live.has(one.digest) ||
      (one.kind === "manifest" && !state.manifests.has(manifestId(repository, one.digest)))
  )
  if (missing.length > 0) {
    return { _tag: "missing", digests: [...new Set(missing.map((one) => one.digest))] }
  }
  const distinct = new Map(references.map((one) => [`${one.digest} ${one.kind}`, one])).values()
  const old = state.manifests.get(manifestId(repository, digest))
  // Of a row that an older version wrote, it stays unknown.
  const { pushedAt, untaggedBy } = old ?? { pushedAt: now, untaggedBy: "never" as const }
  const tagged: ManifestRow = {
    ...manifestOf(manifest),
    references: [...distinct],
    untaggedAt: null,
    ...(pushedAt === undefined ? {} : { pushedAt })
  }
  const row = { ...tagged, untaggedAt: now, ...(untaggedBy === undefined ? {} : { untaggedBy }) }
  state.manifests.set(manifestId(repository, digest), row)
  state.referenced = true
  const losers = new Set<Digest>()
  for (const name of tags) {
    const before = state.tags.get(manifestId(repository, name))
    if (before !== undefined) losers.add(before.digest)
    const least = (before?.pushedAt ?? now) + (before === undefined || before.digest === digest ? 0 : 1)
    const pushed = before?.pushedAt === undefined ? now : Math.max(now, least)
    state.tags.set(manifestId(repository, name), { ...before, repository, name, digest, pushedAt: pushed })
  }
  if (isTagged(state, row)) state.manifests.set(manifestId(repository, digest), tagged)
  losers.delete(digest)
  for (const loser of losers) release(state, now, repository, loser, "moved")
  for (const id of pins) {
    state.pins.delete(id)
    state.pinCauses.delete(id)
  }
  return { _tag: "stored" }
}

const remove = (
  state: RegistryState,
  now: number,
  repository: string,
  digest: Digest,
  { withReferrers = false }: DeleteOptions = {}
): DeleteManifest => {
  const row = state.manifests.get(manifestId(repository, digest))
  if (row === undefined) return "unknown"
  if (isListed(state, row)) return "listed"
  for (const [id, tag] of state.tags) {
    if (tag.repository === repository && tag.digest === digest) state.tags.delete(id)
  }
  if (withReferrers) untagAttached(state, now, row, "deleted")
  drop(state, now, row, "deleted")
  return "deleted"
}

/** How many due manifests are judged at a time. The other backends hold locks on as many. */
const pageMax = 100

/** Works page by page like the other backends, because a page's work may change what the next one finds. */
const expire = (
  state: RegistryState,
  now: number,
  untaggedSince: number,
  limit: number,
  { withReferrers = false }: DeleteOptions = {}
): number => {
  let deleted = 0
  let after: ManifestRow | null = null
  while (deleted < limit) {
    const cursor: ManifestRow | null = after
    const size = Math.min(pageMax, limit - deleted)
    const page = candidates(state, untaggedSince)
      .filter((row) => cursor === null || isBefore(cursor, row))
      .slice(0, size)
    const doomed = page.filter((row) => !isNeeded(state, row))
    for (const row of page) {
      if (!doomed.includes(row)) {
        state.manifests.set(manifestId(row.repository, row.digest), { ...row, untaggedAt: null })
      }
    }
    if (withReferrers) for (const row of doomed) untagAttached(state, now, row, "cascade")
    for (const row of doomed) drop(state, now, row, "cascade")
    noteReleased(state, now, doomed)
    deleted += doomed.length
    if (page.length < size) break
    after = page.at(-1) ?? null
  }
  return deleted
}

const candidates = (state: RegistryState, untaggedSince: number): ReadonlyArray<ManifestRow> =>
  [...state.manifests.values()]
    .filter((row) => row.untaggedAt !== null && row.untaggedAt <= untaggedSince)
    .sort((a, b) => (isBefore(a, b) ? -1 : 1))

const orderOf = (row: ManifestRow) => [row.untaggedAt ?? 0, row.repository, row.digest] as const

const isBefore = (one: ManifestRow, other: ManifestRow): boolean => {
  const [a, b] = [orderOf(one), orderOf(other)]
  if (a[0] !== b[0]) return a[0] < b[0]
  return a[1] === b[1] ? a[2] < b[2] : a[1] < b[1]
}

const isNeeded = (state: RegistryState, row: ManifestRow): boolean =>
  isTagged(state, row) ||
  isListed(state, row) ||
  (row.subject !== null && state.manifests.has(manifestId(row.repository, row.subject)))

const isListed = (state: RegistryState, { repository, digest }: ManifestRow): boolean =>
  [...state.manifests.values()].some(
    (row) =>
      row.repository === repository &&
      row.references.some((one) => one.kind === "manifest" && one.digest === digest)
  )

/** Gives a sighting to what the deleted manifests were or referred to, and nothing in the registry refers to. */
const noteReleased = (state: RegistryState, now: number, deleted: ReadonlyArray<ManifestRow>): void => {
  const needed = new Set(
    [...state.manifests.values()].flatMap((row) => [row, ...row.references].map(({ digest }) => digest))
  )
  for (const row of deleted) {
    const released = [
      row.digest,
      ...row.references.flatMap((one) => (one.kind === "manifest" ? [] : one.digest))
    ]
    for (const digest of released) {
      if (needed.has(digest) || !state.blobs.has(digest)) continue
      const pins = [...state.pins.values()].filter((pin) => pin.digest === digest)
      for (const { id } of pins) state.pinCauses.set(id, "expired")
      if (pins.length > 0 || state.orphans.has(digest)) continue
      state.orphans.set(digest, { seenAt: now, condemnedAt: null, sweep: null, cause: "expired" })
    }
  }
}

const exposure = (
  state: RegistryState,
  after: number | null,
  untaggedSince: number,
  unless: number
): UntaggedExposure => {
  const none: UntaggedExposure = { untagged: 0, total: 0, bytes: 0, totalBytes: 0 }
  const due = candidates(state, untaggedSince).filter((row) => !isNeeded(state, row))
  const lost = due.filter(
    (row) => (row.untaggedBy ?? "deleted") === "deleted" && (after === null || (row.untaggedAt ?? 0) > after)
  )
  const named = [...state.manifests.values()].filter((row) => row.untaggedAt === null).length
  const remains = named > 0
  if (lost.length <= unless && (remains || lost.length === 0)) return { ...none, untagged: lost.length }
  const since = Math.min(...lost.map((row) => row.untaggedAt ?? 0))
  const pushed = [...state.manifests.values()].filter(
    ({ pushedAt, untaggedBy }) =>
      pushedAt !== undefined && pushedAt > since && pushedAt <= untaggedSince && untaggedBy !== "never"
  )
  const untagged = remains ? Math.max(0, lost.length - pushed.length) : lost.length
  const total = named + untagged
  if (untagged === 0) return { ...none, total }
  const needed = new Set(lost.flatMap((row) => [row, ...row.references].map(({ digest }) => digest)))
  const bytesOf = (digests: Iterable<Digest>) =>
    [...digests].reduce((sum, digest) => sum + (state.blobs.get(digest)?.sizeBytes ?? 0), 0)
  const bytes = Math.round((bytesOf(needed) * untagged) / lost.length)
  return { untagged, total, bytes, totalBytes: bytesOf(state.blobs.keys()) }
}

const redate = (state: RegistryState, now: number, latest: number, limit: number) => {
  const ahead = [...state.manifests.values()].filter((row) => (row.untaggedAt ?? 0) > latest).slice(0, limit)
  for (const row of ahead)
    state.manifests.set(manifestId(row.repository, row.digest), { ...row, untaggedAt: now })
  return ahead.map(({ repository, digest }) => `${repository}@${digest}`).sort()
}

/** Deletes a manifest without tags. */
const drop = (
  state: RegistryState,
  now: number,
  { repository, digest, references }: ManifestRow,
  by: UntaggedBy
): void => {
  state.manifests.delete(manifestId(repository, digest))
  const children = references.flatMap((one) => (one.kind === "manifest" ? one.digest : []))
  const about = [...state.manifests.values()].filter(
    (row) => row.repository === repository && row.subject === digest
  )
  for (const released of [...children, ...about.map((row) => row.digest)]) {
    release(state, now, repository, released, by)
  }
}

const rowOf = (state: RegistryState, repository: string, name: ManifestName): ManifestRow | undefined => {
  const digest =
    name._tag === "Digest" ? name.digest : state.tags.get(manifestId(repository, name.tag))?.digest
  return digest === undefined ? undefined : state.manifests.get(manifestId(repository, digest))
}

const manifestOf = (manifest: Manifest): Manifest => ({
  repository: manifest.repository,
  digest: manifest.digest,
  mediaType: manifest.mediaType,
  sizeBytes: manifest.sizeBytes,
  artifactType: manifest.artifactType,
  annotations: manifest.annotations,
  subject: manifest.subject
})

const pageOf = <A extends string>(all: Iterable<A>, after: string | null, limit: number): ReadonlyArray<A> =>
  [...all]
    .filter((one) => after === null || one > after)
    .sort()
    .slice(0, limit)
