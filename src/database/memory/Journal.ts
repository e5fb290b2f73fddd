/** The journal, in memory. */
import { Duration, Effect } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Journal, JournalEntry } from "../Database.ts"
import { byKey, type JournalRow, journalRow, type State } from "./State.ts"
import { countLease, strike } from "./UnannouncedWriters.ts"

const toEntry = (key: ObjectKey, row: JournalRow): JournalEntry => ({
  key,
  sizeBytes: row.sizeBytes,
  reason: row.reason,
  attempts: row.attempts,
  uploadId: row.uploadId
})

/** Returns the verbs of the journal over `state`. */
export const journal = (state: State): Journal => ({
  claim: (now, leaseUntil, limit) => Effect.sync(() => claim(state, now, leaseUntil, limit)),
  confirm: (keys, resent = []) =>
    Effect.sync(() => {
      for (const key of keys) strike(state, key, (leases) => leases !== 1 || resent.includes(key))
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
  reapIntents: (now, deleteNotBefore, limit, expiredAfter = Number.NEGATIVE_INFINITY) =>
    Effect.sync(() => {
      const expired = byKey(state.intents)
        .filter(([, { expiresAt }]) => expiresAt <= now && expiresAt > expiredAfter)
        .slice(0, limit)
      for (const [key, intent] of expired) {
        state.intents.delete(key)
        state.journal.set(
          key,
          journalRow(intent.digest, 0, "reaped", deleteNotBefore, { uploadId: intent.uploadId })
        )
      }
      return expired.length
    }),
  expirePins: (now, limit) =>
    Effect.sync(() => {
      const expired = byKey(state.pins)
        .filter(([, pin]) => pin.expiresAt <= now)
        .slice(0, limit)
      for (const [id, { digest }] of expired) {
        state.pins.delete(id)
        const cause = state.pinCauses.get(id)
        state.pinCauses.delete(id)
        if (cause === undefined || !state.blobs.has(digest) || state.orphans.has(digest)) continue
        state.orphans.set(digest, { seenAt: now, condemnedAt: null, sweep: null, cause })
      }
      return expired.length
    })
})

const claim = (state: State, now: number, leaseUntil: number, limit: number) => {
  const due = byKey(state.journal)
    .filter(
      ([, row]) =>
        row.deadAt === null &&
        row.notBefore <= now &&
        (row.claimedUntil === null ||
          row.claimedUntil <= now ||
          row.claimedUntil > leaseUntil + Duration.toMillis(Duration.days(1)))
    )
    .sort(([, a], [, b]) => a.notBefore - b.notBefore)
    .slice(0, limit)
  if (due.length === 0) return { entries: [], readopted: 0 }
  const owned = new Set([...[...state.blobs.values()].map((row) => row.key), ...state.chunks.keys()])
  const entries = due.filter(([key]) => !owned.has(key))
  for (const [key, row] of entries) {
    state.journal.set(key, { ...row, claimedUntil: leaseUntil })
    countLease(state, key)
  }
  for (const [key] of due) if (owned.has(key)) strike(state, key, (leases) => leases > 0)
  return {
    entries: entries.map(([key, row]) => toEntry(key, row)).sort((a, b) => (a.key < b.key ? -1 : 1)),
    readopted: due.length - entries.length
  }
}
