/** The options of an audit, and the settings of the sweep that it uses. */
import { Effect } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { defaultSettings, type SweepSettings } from "../sweep/Settings.ts"

/** The settings of the sweep that an audit uses. */
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

/** The options of an audit. */
export interface AuditOptions {
  /** Audits only keys that start with this. Default: all. */
  readonly prefix?: string
  /** Audits only keys that sort after this, at which an earlier audit ended. Default: all. */
  readonly after?: ObjectKey | null
  /** Reads every object and computes its digest. Default false. */
  readonly deep?: boolean
  /** Journals ownerless objects below the blob prefix after the audit. Default false. */
  readonly repair?: boolean
  /**
   * Completes when the audit must stop. The current window is dropped, and the summary names the last key.
   * Default: never.
   */
  readonly stop?: Effect.Effect<void>
  /** Settings that differ from the defaults. */
  readonly settings?: Partial<AuditSettings>
}

/** The options with all defaults. */
export type Resolved = Required<Omit<AuditOptions, "settings">> & { readonly settings: AuditSettings }

/** Returns the options with all defaults. */
export const resolve = (options: AuditOptions): Resolved => ({
  prefix: options.prefix ?? "",
  after: options.after ?? null,
  deep: options.deep ?? false,
  repair: options.repair ?? false,
  stop: options.stop ?? Effect.never,
  settings: { ...defaultSettings, ...options.settings }
})
