/** Plays seeds until the app without the protection loses a text, and prints the shortest run that loses it. */
import { Simulation } from "artifact-gc/testing"
import { Console, Effect } from "effect"
import { withCommit, withPin } from "./Tickets.ts"
import { traffic } from "./Traffic.ts"

const main = Effect.gen(function* () {
  const lost = yield* Effect.flip(Simulation.runSeeds({ ...traffic(withPin), seeds: 300 }))
  yield* Console.log(lost.report)
  const { counts, seeds } = yield* Simulation.runSeeds({ ...traffic(withCommit), seeds: 100 })
  yield* Console.log(`\nWith commit: ${seeds} seeds, ${counts.confirmed} texts confirmed, none lost.`)
})

await Effect.runPromise(main)
