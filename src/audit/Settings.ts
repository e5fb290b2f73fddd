/** What an audit asks for, and which of the sweep's settings it heeds. */
import { Effect } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { defaultSettings, type SweepSettings } from "../sweep/Settings.ts"

export type AuditSettings = Pick<
  SweepSettings,
  | "uploadPrefix"
  | "blobPrefix"
  | "leftoverGrace"
  | "quarantine"
  | "deleteDelay"
  | "breakerBlobs"
  | "breakerPercent"
>

export interface AuditOptions {
  /** Only keys that start with it. Default: all. */
  readonly prefix?: string
  /** Only keys that sort after it: where an earlier audit ended. */
  readonly after?: ObjectKey | null
  /** Reads every object and computes its digest. Default false. */
  readonly deep?: boolean
  /** Journals ownerless objects below the blob prefix when all has been looked at. Default false. */
  readonly repair?: boolean
  /**
   * Completes when the audit shall stop: what is in hand is dropped, the summary says how far it came. Default: never.
   */
  readonly stop?: Effect.Effect<void>
  readonly settings?: Partial<AuditSettings>
}

export type Resolved = Required<Omit<AuditOptions, "settings">> & { readonly settings: AuditSettings }

export const resolve = (options: AuditOptions): Resolved => ({
  prefix: options.prefix ?? "",
  after: options.after ?? null,
  deep: options.deep ?? false,
  repair: options.repair ?? false,
  stop: options.stop ?? Effect.never,
  settings: { ...defaultSettings, ...options.settings }
})
