/** The app's own actors and invariants, for any seed. */
import { Simulation } from "artifact-gc/testing"
import { Effect, type Layer } from "effect"
import { TextLost, Tickets } from "./Tickets.ts"

const texts = ["a cat", "a dog", "a bird"]

/** Uploads, thinks, and confirms. Breaks the run where the text is lost. */
const user = Effect.gen(function* () {
  const tickets = yield* Tickets
  const rng = yield* Simulation.rng
  const { name } = yield* Simulation.self
  const id = `${name}/${rng.below(1_000_000)}`
  const digest = yield* tickets.upload(id, rng.pick(texts))
  yield* Simulation.pause
  yield* Effect.catchIf(
    tickets.confirm(id, digest),
    (error) => error instanceof TextLost,
    ({ why }) => Simulation.report(why, "an uploaded text can be confirmed")
  )
  yield* Simulation.count("confirmed")
})

const support = Effect.flatMap(Tickets, ({ close }) => close)

const bytesExist = Simulation.invariant(
  "every attachment has its bytes",
  ({ blobs, objects, references }) => {
    const lost = references.find(({ digest }) => !objects.has(blobs.get(digest)?.key ?? ("" as never)))
    return lost === undefined ? null : `attachment ${lost.id} refers to ${lost.digest}, which has no bytes`
  }
)

/** Two users, the support that closes tickets, and two collectors. */
export const traffic = (app: Layer.Layer<Tickets, never, Simulation.Provided>) => ({
  tables: ["attachments"],
  services: app,
  actors: [
    Simulation.actor("user", user, { count: 2 }),
    Simulation.actor("support", support),
    Simulation.collector({ count: 2 })
  ],
  invariants: [bytesExist],
  settings: { grace: "10 minutes", quarantine: "10 minutes" } as const
})
