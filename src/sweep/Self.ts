/** This collector among the others of its catalogue: its settings, what operators changed of them, and what it tells. */
import { Clock, Duration, Effect } from "effect"
import { CollectorDatabase, type Override } from "../database/Database.ts"
import * as Changes from "./Changes.ts"
import { describe } from "./PhaseCounts.ts"
import type { Memory } from "./preflight/Guard.ts"
import type { ReferenceSource } from "./ReferenceSource.ts"
import type { SweepSettings } from "./Settings.ts"
import type { PauseOptions } from "./SweepOptions.ts"

/** This collector among others. */
export interface Self {
  readonly id: string
  settings: SweepSettings
  /** The ceilings that operators changed, as this collector last read them. */
  changes: Partial<Changes.Pacing>
  /** The others may know of it. */
  registered: boolean
  /** When the guards last let a sweep begin; null if they refused since. */
  passedAt: number | null
  readonly memory: Memory
  readonly sources: ReadonlyArray<ReferenceSource>
}

/** Into how many requests a second's keys are divided where there is a ceiling. */
const batchesPerSecond = 10

/**
 * Limits a batch to a tenth of a second's keys where there is a ceiling. Larger batches would keep the ceiling in bursts,
 * in the database even more than in the store, because pages are purged ahead. Where requests have a ceiling too, batches
 * are larger accordingly.
 */
const withSmallBatches = (settings: SweepSettings): SweepSettings => {
  const { batchMax, keysPerSecondMax, requestsPerSecondMax } = settings
  if (keysPerSecondMax === null) return settings
  const perBatch = keysPerSecondMax / Math.min(batchesPerSecond, requestsPerSecondMax ?? batchesPerSecond)
  return { ...settings, batchMax: Math.min(batchMax, Math.max(1, Math.floor(perBatch))) }
}

/** Returns the settings with the ceilings that operators changed. */
export const inForce = ({ changes, settings }: Self): SweepSettings =>
  withSmallBatches({ ...settings, ...changes })

/** Pauses and resumes all collectors of the catalogue. */
export const controls = ({ id }: Self, { control }: CollectorDatabase["Service"]) => ({
  paused: Effect.flatMap(Clock.currentTimeMillis, control.paused),
  orders: Effect.flatMap(Clock.currentTimeMillis, control.orders),
  pause: Effect.fnUntraced(function* (reason: string, options: PauseOptions = {}) {
    const since = yield* Clock.currentTimeMillis
    const until =
      options.for === undefined ? null : since + Duration.toMillis(Duration.fromInputUnsafe(options.for))
    yield* control.pause({ since, by: options.by ?? id, reason, until })
  }),
  resume: Effect.flatMap(Clock.currentTimeMillis, control.resume)
})

/** Takes the ceilings up that operators changed, and warns of changes that this version cannot make. */
export const takeUp = (self: Self, overrides: ReadonlyArray<Override>) => {
  self.changes = Changes.unchanged.pacing
  return overrides.length === 0 ? Effect.void : takeUpAll(self, overrides)
}

const takeUpAll = Effect.fnUntraced(function* (self: Self, overrides: ReadonlyArray<Override>) {
  const { changes, problems } = yield* Changes.read(overrides)
  self.changes = changes.pacing
  if (problems.length > 0) {
    yield* Effect.logWarning(
      `Settings that were changed in the database cannot be used and are left as they are: ${problems.join("; ")}. To end a change: artifact-gc unset NAME.`
    )
  }
})

/** Tells the others when this collector sweeps again. It counts as at work until then. */
export const waits = Effect.fnUntraced(function* ({ id, settings }: Self, dueAt: number) {
  const { peers } = yield* CollectorDatabase
  const at = yield* Clock.currentTimeMillis
  const until = dueAt + Duration.toMillis(settings.maxDuration)
  yield* Effect.ignoreCause(peers.tell(id, { at, sweep: null, nextDueAt: dueAt }, until))
})

/** The longest real time that a database in trouble may delay the end of a process. */
const leaveWithin = Duration.seconds(3)

/** Tells the others that this one has stopped. Takes a few seconds at most, and never fails. */
export const leave = (self: Self) =>
  Effect.gen(function* () {
    if (!self.registered) return
    // Tried once for each registration, so that a database in trouble delays the end once.
    self.registered = false
    const { peers } = yield* CollectorDatabase
    yield* peers.leave(self.id).pipe(
      Effect.timeout(leaveWithin),
      // The end of a scope must not wait for a clock that a test sets.
      Effect.provideService(Clock.Clock, Clock.Clock.defaultValue()),
      Effect.catchCause((cause) =>
        Effect.logWarning(
          `Collector ${self.id} has stopped and could not tell the others (${describe(cause).message}). Nothing more is deleted by it. Collectors with other settings refuse until it is forgotten, GC_PRESENCE (presence) after its last sweep.`
        )
      )
    )
  })
