/** Acts out one story, in a process that may be killed at any step of it: `node Step.js NAME`. */
import { Effect } from "effect"
import * as Servers from "../bench/harness/Servers.ts"
import { services, stories } from "./Stories.ts"

const story = stories[process.argv[2] ?? ""]
const servers = Servers.fromEnvironment()
if (story === undefined || servers === null) throw new Error("usage: REAL_… node Step.js STORY")

process.exit(
  await Effect.runPromise(
    story.act.pipe(
      Effect.provide(services(servers)),
      Effect.match({
        onSuccess: () => 0,
        onFailure: (error) => {
          // Expected under a fault; without one it is what a person wants to know.
          process.stderr.write(`${String(error)}\n`)
          return 1
        }
      })
    )
  )
)
