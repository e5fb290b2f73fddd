/** Orphans, in memory. */
import { Effect, Option } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { Orphan } from "../../domain/Orphan.ts"
import {
  type ClaimedSlice,
  type CondemnedSelection,
  type DueOrphan,
  type DueRequest,
  type Held,
  type Orphans,
  type PurgeCursor,
  type PurgedBlob,
  restorePin,
  type Slice
} from "../Database.ts"
import { touchLive } from "./Blobs.ts"
import { lockedDigests } from "./HostTransactions.ts"
import {
  byKey,
  causeOf,
  hasObject,
  heldDigests,
  journalRow,
  keptOf,
  objectOf,
  referredDigests,
  type State,
  usedAtOf
} from "./State.ts"
import { bury, countLease, entomb, isGuarded } from "./UnannouncedWriters.ts"

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

/** Returns the verbs of orphans over `state`. */
export const orphans = (state: State): Orphans => ({
  claimSlice: (limit, end) => Effect.sync(() => claimSlice(state, limit, end)),
  readSlice: (after, limit) => Effect.sync(() => pageAfter(state, after, limit)),
  find: (slice) => Effect.sync(() => find(state, slice)),
  held: (now, settles) => Effect.sync(() => held(state, now, settles)),
  record: (slice, { now, seen, condemned, sweep, clear = true }) =>
    Effect.sync(() => {
      const present = new Set(seen)
      const stale = [...state.orphans.keys()].filter(
        (digest) => clear && inSlice(slice, digest) && !present.has(digest)
      )
      for (const digest of stale) state.orphans.delete(digest)
      const doomed = new Set(condemned)
      for (const digest of seen) {
        const before = state.orphans.get(digest)
        if (before === undefined && !state.blobs.has(digest)) continue
        const dooms = doomed.has(digest) && (before?.condemnedAt ?? null) === null
        state.orphans.set(digest, {
          seenAt: before?.seenAt ?? now,
          condemnedAt: dooms ? now : (before?.condemnedAt ?? null),
          sweep: dooms ? sweep : (before?.sweep ?? null),
          ...causeOf(before),
          ...keptOf(before)
        })
      }
      return stale.length
    }),
  redate: (now, digests) => Effect.sync(() => redate(state, now, digests)),
  due: (request) =>
    Effect.sync(() => {
      const page = dueOf(state, request).slice(0, request.limit)
      return { orphans: page, next: nextOf(page, request.limit) }
    }),
  keep: (now, kept) =>
    Effect.sync(() => {
      const present = kept.filter(({ digest }) => state.orphans.has(digest))
      for (const { digest, until } of present) {
        state.orphans.set(digest, { seenAt: now, condemnedAt: null, sweep: null, keptUntil: until })
      }
      state.remembered.held = true
      return present.length
    }),
  purge: (request) => Effect.sync(() => purge(state, request)),
  condemned: (selection, after, limit) =>
    Effect.sync(() =>
      byKey(state.orphans)
        .flatMap(([digest, { seenAt, condemnedAt, sweep }]) => {
          const row = state.blobs.get(digest)
          return row === undefined || condemnedAt === null || !isSelected(selection, digest, sweep)
            ? []
            : [{ digest, key: row.key, sizeBytes: row.sizeBytes, seenAt, condemnedAt, sweep: sweep ?? "" }]
        })
        .filter(({ digest }) => after === null || digest > after)
        .slice(0, limit)
    ),
  restore: (now, digests, pinUntil) =>
    Effect.sync(() => {
      const restored = digests.filter((digest) => touchLive(state, now, digest))
      for (const digest of restored) {
        const id = restorePin(digest)
        const expiresAt = Math.max(pinUntil, state.pins.get(id)?.expiresAt ?? pinUntil)
        state.pins.set(id, { id, digest, expiresAt })
      }
      return new Set(restored)
    })
})

const find = (state: State, slice: Slice): ReadonlyArray<Orphan> => {
  const held = heldDigests(state)
  return byKey(state.blobs)
    .filter(([digest]) => inSlice(slice, digest) && !held.has(digest))
    .map(([digest, row]): Orphan => {
      const sighting = state.orphans.get(digest)
      return {
        digest,
        sizeBytes: row.sizeBytes,
        usedAt: usedAtOf(row),
        seenAt: sighting?.seenAt ?? null,
        condemnedAt: sighting?.condemnedAt ?? null,
        ...causeOf(sighting),
        ...keptOf(sighting),
        ...objectOf(row)
      }
    })
}

const redate = (state: State, now: number, digests: ReadonlyArray<Digest>): number => {
  let moved = 0
  for (const digest of digests) {
    const sighting = state.orphans.get(digest)
    if (sighting === undefined || Math.max(sighting.seenAt, sighting.condemnedAt ?? 0) <= now) continue
    const { condemnedAt, keptUntil: _, seenAt, ...rest } = sighting
    state.orphans.set(digest, {
      ...rest,
      seenAt: Math.min(seenAt, now),
      condemnedAt: condemnedAt === null ? null : Math.min(condemnedAt, now)
    })
    moved += 1
  }
  return moved
}

const held = (state: State, now: number, settles: boolean): Held => {
  const referred = referredDigests(state)
  const judged = [...state.pins.values()].filter(({ digest }) => state.blobs.has(digest))
  for (const { digest, id } of judged) if (settles && referred.has(digest)) state.pinCauses.delete(id)
  const bare = judged.filter(({ digest, expiresAt }) => !referred.has(digest) && expiresAt > now)
  return {
    blobs: new Set(bare.map(({ digest }) => digest)).size,
    until: bare.length === 0 ? null : Math.max(...bare.map(({ expiresAt }) => expiresAt))
  }
}

const dueOf = (
  state: State,
  { after, condemnedCutoff, seenCutoff }: DueRequest
): ReadonlyArray<DueOrphan> => {
  const due: Array<DueOrphan> = []
  for (const [digest, sighting] of state.orphans) {
    const { condemnedAt, seenAt } = sighting
    if (condemnedAt === null || condemnedAt > condemnedCutoff || seenAt > seenCutoff) continue
    const isBehind =
      after === null ||
      condemnedAt > after.condemnedAt ||
      (condemnedAt === after.condemnedAt && digest > after.digest)
    if (isBehind) due.push({ digest, seenAt, condemnedAt, ...keptOf(sighting) })
  }
  return due.sort((a, b) => a.condemnedAt - b.condemnedAt || (a.digest < b.digest ? -1 : 1))
}

const nextOf = (page: ReadonlyArray<DueOrphan>, limit: number): PurgeCursor | null => {
  const last = page.at(-1)
  return last === undefined || page.length < limit
    ? null
    : { condemnedAt: last.condemnedAt, digest: last.digest }
}

const purge = (state: State, request: Parameters<Orphans["purge"]>[0]) => {
  const only = request.only === undefined ? null : new Set(request.only)
  const page = dueOf(state, request)
    .filter(({ digest }) => only?.has(digest) ?? true)
    .slice(0, request.limit)
  if (page.length === 0) return { purged: [], absolved: 0, busy: 0, next: null }
  const [locked, held] = [lockedDigests(state), heldDigests(state)]
  const purged: Array<PurgedBlob> = []
  let busy = 0
  for (const { digest } of page) {
    const row = state.blobs.get(digest)
    if (row !== undefined && locked.has(digest)) {
      busy += 1
      continue
    }
    const cause = causeOf(state.orphans.get(digest))
    state.orphans.delete(digest)
    if (row === undefined || held.has(digest) || usedAtOf(row) > request.usedCutoff || !hasObject(row))
      continue
    state.blobs.delete(digest)
    if (isGuarded(state)) {
      entomb(state, digest)
      bury(state, row.key)
    }
    if (request.leaseUntil !== null) countLease(state, row.key)
    state.journal.set(
      row.key,
      journalRow(digest, row.sizeBytes, "purged", request.deleteNotBefore, {
        claimedUntil: request.leaseUntil
      })
    )
    purged.push({ digest, key: row.key, sizeBytes: row.sizeBytes, ...cause })
  }
  return {
    purged,
    absolved: page.length - purged.length - busy,
    busy,
    next: nextOf(page, request.limit)
  }
}

const isSelected = (selection: CondemnedSelection, digest: Digest, sweep: string | null): boolean =>
  selection._tag === "All" ||
  (selection._tag === "Sweep" ? sweep === selection.sweep : selection.digests.includes(digest))
