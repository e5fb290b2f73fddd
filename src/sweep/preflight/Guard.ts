/** A guard is a value: a name, and a question that is asked before every sweep. */
import type { Effect } from "effect"
import type {
  BindingState,
  CollectorDatabase,
  LostTime,
  Orders,
  PeerActivity
} from "../../database/Database.ts"
import type { SweepError } from "../../domain/SweepError.ts"
import type { GuardFinding, StoreReport } from "../../domain/SweepReport.ts"
import type { Storage } from "../../storage/Storage.ts"
import type { ReferenceSource } from "../ReferenceSource.ts"
import type { SweepSettings } from "../Settings.ts"

/** What a process remembers from one sweep to the next. Guards write into it. */
export interface Memory {
  /** The binding as this sweep's guard found it; null before. */
  binding: BindingState | null
  /** The last sweep that the database was known to remember. */
  sweptAt: number | null
  /** Whether a whole sample of rows was looked up in the store. */
  sampled: boolean
}

/** Returns the memory of a process that has not swept yet. */
export const emptyMemory = (): Memory => ({ binding: null, sweptAt: null, sampled: false })

/** What a guard knows of the sweep. */
export interface GuardContext {
  /** The settings in force. */
  readonly settings: SweepSettings
  /** This collector's name. */
  readonly id: string
  /** When the sweep began, in milliseconds since the epoch. */
  readonly now: number
  /** The references that are kept elsewhere and that this sweep asks for. */
  readonly sources: ReadonlyArray<Pick<ReferenceSource, "name" | "covers">>
  /** Whether the sweep only plans. A guard then writes nothing. */
  readonly dryRun: boolean
  /** Whether the sweep runs in spite of a pause. */
  readonly evenIfPaused: boolean
  /** What this collector says that it does when it registers; null leaves what it said. */
  readonly activity: PeerActivity | null
  /** What this process remembers of earlier sweeps. */
  readonly memory: Memory
  /** Tells the phases that the database may have forgotten what was written in this time. */
  readonly tellLost: (lost: LostTime) => void
  /** Tells the sweep what operators ordered. */
  readonly tellOrders: (orders: Orders) => void
  /** Puts into the report what a delete does in this store. */
  readonly tellStore: (store: StoreReport) => void
  /** Notes that other collectors may know this one, so that it says when it stops. */
  readonly tellRegistered: () => void
}

/** A check before a sweep. */
export interface Guard {
  /** Its name in the report. */
  readonly name: GuardFinding["guard"]
  /** Returns what a setting permits, or fails with why no sweep may begin. */
  readonly ask: (
    context: GuardContext
  ) => Effect.Effect<ReadonlyArray<string>, SweepError, CollectorDatabase | Storage>
}
