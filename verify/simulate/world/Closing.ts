/** The end of a host's transaction whose connection is lost. */
import { Effect, Exit } from "effect"
import { rollback } from "../../../src/database/Memory.ts"
import type { Request } from "./Network.ts"
import type { HostWork, Process } from "./Process.ts"
import type { World } from "./World.ts"

/** Returns the rollback that the server makes once it notices. Until then the transaction holds its locks. */
export const closing = (
  { rows }: Pick<World, "rows">,
  process: Process,
  { gaveUp, transaction }: HostWork
): Request => ({
  process,
  verb: "host.rollback",
  args: [],
  execute: () => {
    gaveUp()
    return Effect.runSyncExit(rollback(rows, transaction))
  },
  answer: () => {},
  unknown: Exit.fail("closed")
})
