/** Runs one scenario, in a process that may be killed at any step: `node ScenarioProcess.js NAME`. */
import { Effect } from "effect"
import * as Servers from "../bench/harness/Servers.ts"
import { scenarios, services } from "./Scenarios.ts"

const scenario = scenarios[process.argv[2] ?? ""]
const servers = Servers.fromEnvironment()
if (scenario === undefined || servers === null) throw new Error("usage: REAL_… node ScenarioProcess.js NAME")

process.exit(
  await Effect.runPromise(
    scenario.act.pipe(
      Effect.provide(services(servers)),
      Effect.match({
        onSuccess: () => 0,
        onFailure: (error) => {
          // Expected under a fault. Without a fault it shows why the scenario fails.
          process.stderr.write(`${String(error)}\n`)
          return 1
        }
      })
    )
  )
)
