/**
 * Finds blobs without references and writes down since when. Deletes nothing.
 *
 * Where references are watched, a sweep reviews what changed: candidates that lost a reference, and earlier sightings. The
 * whole catalogue is scanned only every GC_SCAN_EVERY, for what no trigger noted. Without watching, every sweep scans it.
 *
 * Collectors share the scan: each takes the next slice, and stops when all together have come round to where it began.
 * The next sweep continues a scan that a bound ended.
 */
import { Clock, Duration, Effect, Option } from "effect"
import {
  type ClaimedSlice,
  CollectorDatabase,
  type Held,
  type ScanEnd,
  type Slice
} from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import { type Orphan, type OrphanState, stateAt, type Waits } from "../domain/Orphan.ts"
import * as KeepHeld from "./KeepHeld.ts"
import type { PhaseContext } from "./Phase.ts"
import type { SweepSettings } from "./Settings.ts"

/** Returns how long orphans wait. */
export const waitsOf = (settings: SweepSettings): Waits => ({
  graceMillis: Duration.toMillis(settings.grace),
  quarantineMillis: Duration.toMillis(settings.quarantine)
})

/**
 * Writes down new orphans, ends the sightings of blobs that are referenced again, and condemns what has waited. Returns
 * how many blobs are due to be purged, for watchers, or null if this collector has not seen each of them itself.
 */
export const find = Effect.fnUntraced(function* (context: PhaseContext, held: Held) {
  const { candidates } = yield* CollectorDatabase
  if (!(yield* candidates.watch).isOn) return yield* scan(context, held)
  context.counts.held(held.blobs, held.until)
  if (!(yield* review(context))) return null
  const now = yield* Clock.currentTimeMillis
  // Before the sightings are examined, so that those of the scan are among them.
  const pass = yield* candidates.passDue(now, Duration.toMillis(context.settings.scanEvery))
  if (Option.isSome(pass) && (yield* sightAll(context))) yield* candidates.passDone(pass.value)
  return yield* examineSightings(context)
})

/** Turns candidates without references into sightings. Answers whether none is left. */
const review = (context: PhaseContext) => context.pages(() => reviewPage(context))

const reviewPage = Effect.fnUntraced(function* ({ counts, settings }: PhaseContext) {
  const { candidates } = yield* CollectorDatabase
  const reviewed = yield* candidates.review(yield* Clock.currentTimeMillis, settings.scanPage)
  counts.seen(reviewed.candidates)
  counts.kept("referenced", reviewed.candidates - reviewed.orphans)
  // A page may be smaller than asked for, so only an empty one is the last.
  return reviewed.candidates === 0 ? null : "more"
})

/** Ends the sightings of blobs that are referenced again, and condemns those that have waited. */
const examineSightings = Effect.fnUntraced(function* (context: PhaseContext) {
  const found = { due: 0 }
  const isDone = yield* context.pages((after: Digest | null) => examinePage(context, found, after))
  return isDone ? found.due : null
})

const examinePage = Effect.fnUntraced(function* (
  context: PhaseContext,
  found: { due: number },
  after: Digest | null
) {
  const { candidates } = yield* CollectorDatabase
  const { counts, settings, sweep } = context
  const page = yield* candidates.sighted(after, settings.scanPage)
  const classified = yield* classify(context, page.orphans)
  counts.seen(page.sightings)
  found.due += classified.purgeable.length
  const condemned = toCondemn(classified)
  if (condemned.length + page.stale.length > 0) {
    const now = yield* Clock.currentTimeMillis
    counts.kept("referenced", yield* candidates.settle({ now, condemned, stale: page.stale, sweep }))
  }
  yield* KeepHeld.keep(context, classified.held)
  return page.next
})

/** What a scan has examined. */
interface Scanned {
  blobs: number
  found: number
  /** Blobs that are due to be purged. */
  due: number
}

/** Does the same for the whole catalogue, where no trigger notes what changes. */
const scan = Effect.fnUntraced(function* (context: PhaseContext, held: Held) {
  const scanned: Scanned = { blobs: 0, found: 0, due: 0 }
  const end = yield* eachSlice(context, "round", (slice) => scanSlice(context, scanned, slice))
  explainKept(context, scanned, held)
  return end === "alone" ? scanned.due : null
})

const scanSlice = Effect.fnUntraced(function* (context: PhaseContext, scanned: Scanned, slice: ClaimedSlice) {
  const { orphans } = yield* CollectorDatabase
  const { counts, sweep } = context
  const found = yield* orphans.find(slice)
  const classified = yield* classify(context, found)
  counts.seen(slice.blobs)
  scanned.due += classified.purgeable.length
  const now = yield* Clock.currentTimeMillis
  const marks = { now, seen: digestsOf(found), condemned: toCondemn(classified), sweep }
  const cleared = yield* orphans.record(slice, marks)
  counts.kept("referenced", cleared)
  // After the sightings were recorded, which for new blobs did not exist before.
  yield* KeepHeld.keep(context, classified.held)
  scanned.blobs += slice.blobs
  scanned.found += found.length + cleared
})

/**
 * Counts as kept what a scan examined and did not find, so that a report adds up: blobs that only a pin keeps, which is
 * known of the whole catalogue, and the others, which are in use.
 */
export const explainKept = (
  { counts }: PhaseContext,
  scanned: { readonly blobs: number; readonly found: number },
  held: Held
): void => {
  const others = Math.max(0, scanned.blobs - scanned.found)
  const heldHere = Math.min(held.blobs, others)
  counts.held(heldHere, held.until)
  counts.kept("in use", others - heldHere)
}

/**
 * Sights orphans that no trigger noted, and decides nothing: sightings are examined afterwards. Answers whether the scan
 * has reached its end.
 */
const sightAll = (context: PhaseContext) =>
  Effect.map(
    eachSlice(context, "to the end", (slice) => sightSlice(context, slice)),
    (end) => end !== "bounded"
  )

const sightSlice = Effect.fnUntraced(function* ({ counts, sweep }: PhaseContext, slice: ClaimedSlice) {
  const { orphans } = yield* CollectorDatabase
  const found = yield* orphans.find(slice)
  counts.seen(slice.blobs)
  const unseen = found.filter(({ seenAt }) => seenAt === null)
  if (unseen.length === 0) return
  const now = yield* Clock.currentTimeMillis
  yield* orphans.record(slice, { now, seen: digestsOf(unseen), condemned: [], sweep, clear: false })
})

/** How far a scan is. */
interface Slices {
  readonly until: "round" | "to the end"
  end: ScanEnd | null
  previous: Slice | null
  isAlone: boolean
}

type EachSlice = (slice: ClaimedSlice) => Effect.Effect<void, DatabaseError, CollectorDatabase>

/**
 * Runs `each` for slices until the scan reaches its end, or comes round to where this collector began. Answers whether a
 * bound ended it, and if not whether other collectors took slices of it.
 */
const eachSlice = Effect.fnUntraced(function* (
  context: PhaseContext,
  until: Slices["until"],
  each: EachSlice
) {
  const slices: Slices = { until, end: null, previous: null, isAlone: true }
  if (!(yield* context.pages(() => nextSlice(context, slices, each)))) return "bounded"
  return slices.isAlone && lastOf(slices.previous) === firstOf(slices.end) ? "alone" : "shared"
})

const nextSlice = Effect.fnUntraced(function* (context: PhaseContext, slices: Slices, each: EachSlice) {
  const { orphans } = yield* CollectorDatabase
  const claimed = yield* orphans.claimSlice(context.settings.scanPage, slices.end)
  if (Option.isNone(claimed)) return null
  const slice = claimed.value
  slices.end ??= { pass: slice.pass + 1, after: slices.until === "round" ? slice.after : null }
  slices.isAlone &&= slices.previous === null || slices.previous.upTo === slice.after
  slices.previous = slice
  yield* each(slice)
  return "more"
})

const lastOf = (slice: Slice | null): Digest | null | undefined => slice?.upTo
const firstOf = (end: ScanEnd | null): Digest | null | undefined => end?.after

/** Orphans by what becomes of them. */
export interface Classified extends Readonly<Record<OrphanState, ReadonlyArray<Orphan>>> {
  /** Blobs that a reference source was found to hold just now. */
  readonly held: ReadonlyArray<Orphan>
}

/**
 * Sorts orphans by state, now. Those that must wait are counted as kept. A dry run prints what a sweep acts on.
 *
 * Instants of ours that lie ahead by more than the tolerance were written while a clock was wrong. They count as now,
 * and are moved there. Blobs whose key no object can have are in no state.
 *
 * Reference sources are asked about blobs that would be condemned, and in a dry run about those that would be purged. So
 * what a source holds is never condemned, and no breaker counts it. What a source did not answer for is in no state.
 */
export const classify = Effect.fnUntraced(function* (context: PhaseContext, orphans: ReadonlyArray<Orphan>) {
  const { counts, dryRun, odd, settings } = context
  const now = yield* Clock.currentTimeMillis
  const latest = now + Duration.toMillis(settings.clockTolerance)
  const waits = waitsOf(settings)
  const by: Record<OrphanState, Array<Orphan>> = {
    kept: [],
    waiting: [],
    condemnable: [],
    quarantined: [],
    purgeable: []
  }
  const keyless = orphans.filter(({ hasObject }) => hasObject === false)
  const others = orphans.filter(({ hasObject }) => hasObject !== false)
  const ahead = others.filter(({ condemnedAt, seenAt }) => Math.max(seenAt ?? 0, condemnedAt ?? 0) > latest)
  const early = new Set(ahead)
  for (const orphan of others) {
    const dated = early.has(orphan) ? datedAt(orphan, now) : orphan
    by[stateAt(dated, now, waits)].push(dated)
  }
  const later = by.waiting.filter(({ usedAt }) => usedAt > latest)
  odd.add("key", keyless.map(nameOf))
  odd.add("used", later.map(nameOf))
  odd.add("seen", ahead.map(nameOf))
  if (ahead.length > 0 && !dryRun) yield* (yield* CollectorDatabase).orphans.redate(now, digestsOf(ahead))
  const isAsked = (orphan: Orphan) => dryRun || orphan.condemnedAt === null
  const condemnable = yield* KeepHeld.ask(context, by.condemnable)
  const purgeable = yield* KeepHeld.ask(context, by.purgeable.filter(isAsked))
  const held = [...condemnable.held, ...purgeable.held]
  counts.kept("source", by.kept.length + held.length)
  counts.failed("source", condemnable.unanswered.length + purgeable.unanswered.length)
  counts.kept("key cannot exist", keyless.length)
  counts.kept("used in the future", later.length)
  counts.kept("grace", by.waiting.length - later.length)
  counts.kept("quarantine", condemnable.free.length + by.quarantined.length)
  return {
    ...by,
    condemnable: condemnable.free,
    purgeable: [...by.purgeable.filter((orphan) => !isAsked(orphan)), ...purgeable.free],
    held
  } satisfies Classified as Classified
})

const datedAt = ({ keptUntil: _, ...orphan }: Orphan, now: number): Orphan => ({
  ...orphan,
  seenAt: orphan.seenAt === null ? null : Math.min(orphan.seenAt, now),
  condemnedAt: orphan.condemnedAt === null ? null : Math.min(orphan.condemnedAt, now)
})

const nameOf = ({ digest }: Orphan): string => digest

/** What has outlived its grace and is not condemned yet. */
const toCondemn = ({ condemnable, purgeable }: Classified): ReadonlyArray<Digest> =>
  digestsOf([...condemnable, ...purgeable].filter((orphan) => orphan.condemnedAt === null))

/** Returns the digests of `orphans`. */
export const digestsOf = (orphans: ReadonlyArray<Pick<Orphan, "digest">>): ReadonlyArray<Digest> =>
  orphans.map((orphan) => orphan.digest)
