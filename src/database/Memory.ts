/**
 * A catalogue in memory, for deterministic tests: same contract, no I/O.
 *
 * Every verb runs in one synchronous step, which makes it a transaction: nothing else of the process runs in
 * between. Real locking and isolation need a real PostgreSQL; the contract suite runs on both.
 */
import { Effect, Layer, Option } from "effect"
import type { Digest } from "../domain/Digest.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { Orphan } from "../domain/Orphan.ts"
import {
  type Blobs,
  type ClaimedSlice,
  Database,
  type Intent,
  type Journal,
  type JournalEntry,
  type JournalReason,
  type Orphans,
  type Publication,
  type PublishOutcome,
  type PurgedBlob,
  type Reference,
  type Slice,
  touchEveryMillis
} from "./Database.ts"

export interface BlobRow {
  readonly key: ObjectKey
  readonly sizeBytes: number
  readonly createdAt: number
  readonly lastUsedAt: number
}

export interface JournalRow {
  readonly digest: Digest
  readonly sizeBytes: number
  readonly reason: JournalReason
  readonly notBefore: number
  readonly claimedUntil: number | null
  readonly attempts: number
  readonly lastError: string | null
  readonly deadAt: number | null
}

/** The tables. Tests may read them, and write what a foreign program would. */
export interface State {
  readonly blobs: Map<Digest, BlobRow>
  /** By repository and name, or path: see {@link referenceId}. */
  readonly references: Map<string, Reference>
  readonly orphans: Map<Digest, { readonly seenAt: number; readonly condemnedAt: number | null }>
  readonly journal: Map<ObjectKey, JournalRow>
  readonly intents: Map<ObjectKey, Intent>
  readonly scan: { pass: number; position: Digest | null }
}

export const emptyState = (): State => ({
  blobs: new Map(),
  references: new Map(),
  orphans: new Map(),
  journal: new Map(),
  intents: new Map(),
  scan: { pass: 1, position: null }
})

/** The primary key of a reference, by kind. */
export const referenceId = (reference: Reference): string =>
  reference._tag === "Artifact"
    ? JSON.stringify(["artifact", reference.repository, reference.name])
    : JSON.stringify(["local file", reference.path])

/** A database over `state`; several layers over one state are several replicas on one catalogue. */
export const layer = (state: State = emptyState()): Layer.Layer<Database> =>
  Layer.succeed(
    Database,
    Database.of({
      description: "memory",
      inspect: Effect.succeed([
        { table: "artifacts", column: "digest", constraint: "artifacts_digest_fkey" },
        { table: "local_files", column: "digest", constraint: "local_files_digest_fkey" }
      ]),
      orphans: orphans(state),
      journal: journal(state),
      blobs: blobs(state),
      backlog: (now) => Effect.sync(() => backlog(state, now))
    })
  )

const byKey = <K extends string, V>(map: Map<K, V>): Array<[K, V]> =>
  [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

const referenced = (state: State): Set<Digest> => new Set([...state.references.values()].map((r) => r.digest))

const inSlice = (slice: Slice, digest: Digest): boolean =>
  (slice.after === null || digest > slice.after) && (slice.upTo === null || digest <= slice.upTo)

const pageAfter = (state: State, after: Digest | null, limit: number): Slice => {
  const page = byKey(state.blobs)
    .map(([digest]) => digest)
    .filter((digest) => after === null || digest > after)
    .slice(0, limit)
  return { after, upTo: page.length < limit ? null : (page.at(-1) ?? null), blobs: page.length }
}

const claimSlice = (
  state: State,
  limit: number,
  end: Parameters<Orphans["claimSlice"]>[1]
): Option.Option<ClaimedSlice> => {
  const { scan } = state
  const comesRound =
    end !== null &&
    (scan.pass > end.pass ||
      (scan.pass === end.pass &&
        (end.after === null || (scan.position !== null && scan.position >= end.after))))
  if (comesRound) return Option.none()
  const slice = { ...pageAfter(state, scan.position, limit), pass: scan.pass }
  if (slice.upTo === null) scan.pass += 1
  scan.position = slice.upTo
  return Option.some(slice)
}

const orphans = (state: State): Orphans => ({
  claimSlice: (limit, end) => Effect.sync(() => claimSlice(state, limit, end)),
  readSlice: (after, limit) => Effect.sync(() => pageAfter(state, after, limit)),
  find: (slice) =>
    Effect.sync(() => {
      const live = referenced(state)
      return byKey(state.blobs)
        .filter(([digest]) => inSlice(slice, digest) && !live.has(digest))
        .map(([digest, row]): Orphan => {
          const sighting = state.orphans.get(digest)
          return {
            digest,
            sizeBytes: row.sizeBytes,
            usedAt: Math.max(row.createdAt, row.lastUsedAt),
            seenAt: sighting?.seenAt ?? null,
            condemnedAt: sighting?.condemnedAt ?? null
          }
        })
    }),
  record: (slice, { now, seen, condemned }) =>
    Effect.sync(() => {
      const present = new Set(seen)
      const stale = [...state.orphans.keys()].filter(
        (digest) => inSlice(slice, digest) && !present.has(digest)
      )
      for (const digest of stale) state.orphans.delete(digest)
      const doomed = new Set(condemned)
      for (const digest of seen) {
        const before = state.orphans.get(digest)
        const condemnedAt = before?.condemnedAt ?? (doomed.has(digest) ? now : null)
        state.orphans.set(digest, { seenAt: before?.seenAt ?? now, condemnedAt })
      }
      return stale.length
    }),
  purge: (request) => Effect.sync(() => purge(state, request))
})

const purge = (state: State, request: Parameters<Orphans["purge"]>[0]) => {
  const { after } = request
  const page = byKey(state.orphans)
    .flatMap(([digest, { seenAt, condemnedAt }]) =>
      condemnedAt === null || seenAt > request.seenCutoff ? [] : [{ digest, condemnedAt }]
    )
    .filter(({ condemnedAt }) => condemnedAt <= request.condemnedCutoff)
    .filter(
      (o) =>
        after === null ||
        o.condemnedAt > after.condemnedAt ||
        (o.condemnedAt === after.condemnedAt && o.digest > after.digest)
    )
    .sort((a, b) => a.condemnedAt - b.condemnedAt)
    .slice(0, request.limit)
  const live = referenced(state)
  const purged: Array<PurgedBlob> = []
  for (const { digest } of page) {
    const row = state.blobs.get(digest)
    state.orphans.delete(digest)
    if (row === undefined || live.has(digest) || Math.max(row.createdAt, row.lastUsedAt) > request.usedCutoff)
      continue
    state.blobs.delete(digest)
    state.journal.set(
      row.key,
      journalRow(digest, row.sizeBytes, "purged", request.deleteNotBefore, request.leaseUntil)
    )
    purged.push({ digest, key: row.key, sizeBytes: row.sizeBytes })
  }
  const last = page.at(-1)
  return {
    purged,
    absolved: page.length - purged.length,
    busy: 0,
    next: last === undefined || page.length < request.limit ? null : last
  }
}

const journalRow = (
  digest: Digest,
  sizeBytes: number,
  reason: JournalReason,
  notBefore: number,
  claimedUntil: number | null
): JournalRow => ({
  digest,
  sizeBytes,
  reason,
  notBefore,
  claimedUntil,
  attempts: 0,
  lastError: null,
  deadAt: null
})

const toEntry = (key: ObjectKey, row: JournalRow): JournalEntry => ({
  key,
  sizeBytes: row.sizeBytes,
  reason: row.reason,
  attempts: row.attempts
})

const journal = (state: State): Journal => ({
  claim: (now, leaseUntil, limit) =>
    Effect.sync(() => {
      const owned = new Set([...state.blobs.values()].map((row) => row.key))
      const due = byKey(state.journal)
        .filter(
          ([, row]) =>
            row.deadAt === null &&
            row.notBefore <= now &&
            (row.claimedUntil === null || row.claimedUntil <= now)
        )
        .sort(([, a], [, b]) => a.notBefore - b.notBefore)
        .slice(0, limit)
      const entries = due.filter(([key]) => !owned.has(key))
      for (const [key, row] of entries) state.journal.set(key, { ...row, claimedUntil: leaseUntil })
      for (const [key] of due) if (owned.has(key)) state.journal.delete(key)
      return {
        entries: entries.map(([key, row]) => toEntry(key, row)).sort((a, b) => (a.key < b.key ? -1 : 1)),
        readopted: due.length - entries.length
      }
    }),
  confirm: (keys) =>
    Effect.sync(() => {
      for (const key of keys) state.journal.delete(key)
    }),
  postpone: (postponements) =>
    Effect.sync(() => {
      for (const { key, notBefore, attempts, error, deadAt } of postponements) {
        const row = state.journal.get(key)
        if (row === undefined) continue
        state.journal.set(key, { ...row, notBefore, attempts, lastError: error, deadAt, claimedUntil: null })
      }
    }),
  deadLetters: (after, limit) =>
    Effect.sync(() =>
      byKey(state.journal)
        .flatMap(([key, row]) => (row.deadAt === null ? [] : [{ key, row, deadAt: row.deadAt }]))
        .filter(({ key }) => after === null || key > after)
        .slice(0, limit)
        .map(({ key, row, deadAt }) => ({ ...toEntry(key, row), lastError: row.lastError ?? "", deadAt }))
    ),
  retry: (now, keys) =>
    Effect.sync(() => {
      const named = keys === "all" ? null : new Set(keys)
      const dead = [...state.journal].filter(
        ([key, row]) => row.deadAt !== null && (named === null || named.has(key))
      )
      for (const [key, row] of dead) {
        state.journal.set(key, { ...row, deadAt: null, attempts: 0, claimedUntil: null, notBefore: now })
      }
      return dead.length
    }),
  reapIntents: (now, deleteNotBefore, limit) =>
    Effect.sync(() => {
      const expired = byKey(state.intents)
        .filter(([, intent]) => intent.expiresAt <= now)
        .slice(0, limit)
      for (const [key, intent] of expired) {
        state.intents.delete(key)
        state.journal.set(key, journalRow(intent.digest, 0, "reaped", deleteNotBefore, null))
      }
      return expired.length
    })
})

const blobs = (state: State): Blobs => ({
  adopt: (now, references) =>
    Effect.sync(() => {
      const live = new Set<Digest>()
      for (const reference of references) {
        const row = state.blobs.get(reference.digest)
        if (row === undefined) continue
        live.add(reference.digest)
        if (row.lastUsedAt <= now - touchEveryMillis)
          state.blobs.set(reference.digest, { ...row, lastUsedAt: now })
        state.orphans.delete(reference.digest)
        state.references.set(referenceId(reference), reference)
      }
      return live
    }),
  intend: (intents) =>
    Effect.sync(() => {
      for (const intent of intents) state.intents.set(intent.key, intent)
    }),
  publish: (now, publications) =>
    Effect.sync(() => publications.map((publication) => publish(state, now, publication))),
  unreference: (references) =>
    Effect.sync(() => {
      const before = state.references.size
      for (const reference of references) {
        const id = referenceId(reference)
        if (state.references.get(id)?.digest === reference.digest) state.references.delete(id)
      }
      return before - state.references.size
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
      const owners = new Set([...state.intents.keys(), ...[...state.blobs.values()].map((row) => row.key)])
      return new Set(keys.filter((key) => owners.has(key)))
    })
})

const publish = (
  state: State,
  now: number,
  { key, digest, sizeBytes, references }: Publication
): PublishOutcome => {
  if (!state.intents.delete(key)) return "expired"
  const row = state.blobs.get(digest)
  state.blobs.set(
    digest,
    row === undefined
      ? { key, sizeBytes, createdAt: now, lastUsedAt: now }
      : { ...row, lastUsedAt: Math.max(row.lastUsedAt, now) }
  )
  if (row !== undefined) state.journal.set(key, journalRow(digest, sizeBytes, "duplicate", now, null))
  state.orphans.delete(digest)
  for (const reference of references) state.references.set(referenceId(reference), reference)
  return row === undefined ? "published" : "deduplicated"
}

const backlog = (state: State, now: number) => {
  const sightings = [...state.orphans]
  const condemned = sightings.flatMap(([digest, { condemnedAt }]) =>
    condemnedAt === null ? [] : [{ digest, condemnedAt }]
  )
  const waiting = sightings.filter(([, sighting]) => sighting.condemnedAt === null)
  const rows = [...state.journal.values()]
  const pending = rows.filter((row) => row.deadAt === null)
  const due = pending.filter((row) => row.notBefore <= now && (row.claimedUntil ?? now) <= now)
  const earliest = (instants: ReadonlyArray<number>) =>
    instants.reduce<number | null>((min, at) => (min === null || at < min ? at : min), null)
  return {
    waiting: waiting.length,
    condemned: condemned.length,
    condemnedBytes: condemned.reduce((sum, { digest }) => sum + (state.blobs.get(digest)?.sizeBytes ?? 0), 0),
    journaled: pending.length,
    journalDue: due.length,
    journalDueBytes: due.reduce((sum, row) => sum + row.sizeBytes, 0),
    deadLetters: rows.length - pending.length,
    oldestSeenAt: earliest(waiting.map(([, sighting]) => sighting.seenAt)),
    oldestCondemnedAt: earliest(condemned.map(({ condemnedAt }) => condemnedAt)),
    nextJournalAt: earliest(pending.map((row) => Math.max(row.notBefore, row.claimedUntil ?? 0)))
  }
}
