/** Secrets that all replicas of a registry share. */
import type { Result } from "../../../database/contract/Result.ts"

/** The verbs of shared secrets. */
export interface Keys {
  /**
   * Returns the key that signs the registry's tokens. Where there is none, keeps `fresh`: of several replicas that begin at
   * once all get the same.
   */
  readonly tokens: (now: number, fresh: Uint8Array) => Result<Uint8Array>
}
