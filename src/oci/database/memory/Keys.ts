/** Shared secrets in memory. */
import { Effect } from "effect"
import type { Keys } from "../contract/Keys.ts"
import type { RegistryState } from "./RegistryState.ts"

/** Returns the verbs of shared secrets over `state`. */
export const keys = (state: RegistryState): Keys => ({
  tokens: (_now, fresh) =>
    Effect.sync(() => {
      const known = state.keys.get("tokens") ?? fresh
      state.keys.set("tokens", known)
      return known
    })
})
