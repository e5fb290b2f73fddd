/** The end of a host's transaction whose connection is lost. */
import { Effect, Exit } from "effect"
import { type OpenTransaction, rollback } from "../../../src/database/Memory.ts"
import type { Process, Request } from "../../../src/testing/simulation/Simulation.ts"
import type { World } from "./World.ts"

/** A transaction that a host has open. */
export interface HostWork {
  readonly transaction: OpenTransaction
  /** Tells the oracle that the transaction has ended without an acknowledged commit. */
  readonly gaveUp: () => void
}

/** Returns the rollback that the server makes once it notices. Until then the transaction holds its locks. */
export const closing = (
  { rows }: Pick<World, "rows">,
  process: Process,
  { gaveUp, transaction }: HostWork
): Request => ({
  process,
  verb: "host.rollback",
  args: [],
  traits: {},
  execute: () => {
    gaveUp()
    return Effect.runSyncExit(rollback(rows, transaction))
  },
  answer: () => {},
  unknown: Exit.fail("closed")
})
