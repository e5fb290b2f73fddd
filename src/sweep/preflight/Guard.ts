/** A guard is a value: a name, and a question that is asked before every sweep. */
import type { Effect } from "effect"
import type { CollectorDatabase } from "../../database/Database.ts"
import type { GuardFinding, StoreReport } from "../../domain/SweepReport.ts"
import type { Storage } from "../../storage/Storage.ts"
import type { SweepSettings } from "../Settings.ts"

/** What a guard knows of the sweep. */
export interface GuardContext {
  /** The settings in force. */
  readonly settings: SweepSettings
  /** This collector's name. */
  readonly id: string
  /** When the sweep began, in milliseconds since the epoch. */
  readonly now: number
  /** Whether the sweep only plans. A guard then writes nothing. */
  readonly dryRun: boolean
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
  ) => Effect.Effect<ReadonlyArray<string>, unknown, CollectorDatabase | Storage>
}
