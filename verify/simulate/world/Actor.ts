/** What a process of a simulation works with, and how it judges a failure that it sees. */
import { Cause, Effect } from "effect"
import { type Process, simulated } from "../../../src/testing/simulation/Simulation.ts"
import type { World } from "./World.ts"

/** Holds a process and its world. */
export interface Actor {
  readonly world: World
  readonly process: Process
  /** Waits until the simulator chooses this process again. */
  readonly pause: Effect.Effect<void>
}

/** A row that a host's transaction locks, or a transaction that a crash or a lost connection ended. */
const isOfHost = ({ detail = "", reason }: { readonly detail?: string; readonly reason?: string }): boolean =>
  reason === "Contended" || detail.startsWith("the transaction has ended")

/**
 * Reports a failure that no fault explains.
 *
 * Failures that the simulation caused are accepted. So is an upload that outlasts its lease again and again,
 * and an error whose tag `isAccepted`.
 */
export const checkFailure = (
  { world }: Actor,
  cause: Cause.Cause<unknown>,
  what: string,
  isAccepted: (tag: string) => boolean = () => false
) =>
  Effect.sync(() => {
    if (Cause.hasInterruptsOnly(cause)) return
    const error = Cause.squash(cause) as {
      readonly _tag?: string
      readonly detail?: string
      readonly reason?: string
      readonly message?: string
    }
    if (error.detail === simulated) return
    if (isOfHost(error)) return world.count("stopped by a host's transaction")
    const tag = error._tag ?? ""
    if (tag === "UploadExpired") return world.count("uploads expired")
    if (isAccepted(tag)) return
    world.oracle.report(`${what} failed, and no fault explains it: ${error.message ?? String(error)}`)
  })
