/** What every suite of clients works with. */
import type { Group } from "../../../tools/servers/Processes.ts"
import type { Guarded } from "./Guarded.ts"
import type { Image } from "./Images.ts"
import type { Registry } from "./Registry.ts"
import type { Stored } from "./Stored.ts"
import type { Tools } from "./Tools.ts"

export interface Context {
  readonly group: Group
  /** A folder for files, removed with the group. */
  readonly folder: string
  readonly tools: Tools
  readonly registry: Registry
  readonly stored: Stored
  /** The repositories that were pushed to. Each suite adds its own. */
  readonly repositories: Set<string>
  readonly kept: KeptImage
  /** Replicas with users and rules. */
  readonly guarded: Guarded
}

/** The image that outlives all others, and its place in the registry. */
export interface KeptImage {
  readonly repository: string
  readonly tag: string
  readonly image: Image
}
