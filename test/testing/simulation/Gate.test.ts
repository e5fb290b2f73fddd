/** An app's own services in a simulation: shared ones behind a gate, and those of each process. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Data, Effect, Layer, Stream } from "effect"
import { Simulation } from "../../../src/testing/index.ts"

class MailboxDown extends Data.TaggedError("MailboxDown") {}

/** A mailbox that all processes share. */
class Mailbox extends Context.Service<
  Mailbox,
  {
    readonly post: (text: string) => Effect.Effect<number, MailboxDown>
    readonly size: Effect.Effect<number, MailboxDown>
    readonly all: Stream.Stream<string, MailboxDown>
  }
>()("test/Mailbox") {}

const mailboxOver = (texts: Array<string>) =>
  Mailbox.of({
    post: (text) => Effect.sync(() => texts.push(text)),
    size: Effect.sync(() => texts.length),
    all: Stream.suspend(() => Stream.fromIterable([...texts]))
  })

const gated = (texts: Array<string>, options: Simulation.GateOptions<Mailbox["Service"]> = {}) =>
  Simulation.gate(mailboxOver(texts), "Mailbox", options)

const failing = { failure: () => new MailboxDown() }

/** Posts a text with a number of its own, and counts what it is told. */
const poster = Effect.gen(function* () {
  const mailbox = yield* Mailbox
  const { name } = yield* Simulation.self
  const rng = yield* Simulation.rng
  const exit = yield* Effect.exit(mailbox.post(`${name} ${rng.below(1_000_000)}`))
  yield* Simulation.count(exit._tag === "Success" ? "told: posted" : "told: unknown")
})

const alone = { actors: [Simulation.actor("poster", poster, { count: 2 })], leaks: false }

describe("a gate", () => {
  it.effect("is open outside of a simulation", () =>
    Effect.gen(function* () {
      const mailbox = gated([])
      assert.strictEqual(yield* mailbox.post("a"), 1)
      assert.strictEqual(yield* mailbox.size, 1)
      assert.deepStrictEqual(yield* Stream.runCollect(mailbox.all), ["a"])
    })
  )

  it.effect("lets calls fail, lose their answers, and take effect later", () =>
    Effect.gen(function* () {
      const texts: Array<string> = []
      const { counts } = yield* Simulation.runSeeds({
        ...alone,
        servers: Layer.succeed(Mailbox, gated(texts, failing)),
        faults: { requests: 0.3 },
        seeds: 10
      })
      const told = counts["told: posted"] ?? 0
      assert.isAbove(counts["told: unknown"] ?? 0, 0)
      // More were posted than a process was told of: answers were lost, and calls took effect late.
      assert.isAbove(texts.length, told)
      for (const what of ["requests failed", "answers lost", "requests taking effect late"])
        assert.isAbove(counts[what] ?? 0, 0, what)
    })
  )

  it.effect("lets calls that may be repeated take effect twice", () =>
    Effect.gen(function* () {
      const { counts } = yield* Simulation.runSeeds({
        ...alone,
        servers: Layer.succeed(Mailbox, gated([], { ...failing, repeatable: ["post"] })),
        faults: { requests: 0.3 },
        seeds: 5
      })
      assert.isAbove(counts["requests taking effect twice"] ?? 0, 0)
    })
  )

  it.effect("lets no call fail of a service that names no failure, and processes die at it", () =>
    Effect.gen(function* () {
      const { counts } = yield* Simulation.runSeeds({
        ...alone,
        servers: Layer.sync(Mailbox, () => gated([])),
        faults: { requests: 0.5, kills: 0.05 },
        seeds: 5
      })
      assert.isUndefined(counts["told: unknown"])
      assert.isAbove(counts["processes killed"] ?? 0, 0)
    })
  )

  it.effect("is in the trace by the name of the service and the method", () =>
    Effect.gen(function* () {
      const { trace } = yield* Simulation.run({
        ...alone,
        servers: Layer.sync(Mailbox, () => gated([])),
        seed: 1,
        trace: true
      })
      assert.isNotEmpty(trace.filter((line) => /poster 1 +Mailbox\.post\(poster 1 \d+\) -> \d+$/.test(line)))
    })
  )
})

describe("services of each process", () => {
  class Connection extends Context.Service<Connection, { readonly id: number }>()("test/Connection") {}

  const connections = (open: Set<number>) => {
    let next = 0
    return Layer.effect(
      Connection,
      Effect.acquireRelease(
        Effect.sync(() => {
          open.add(++next)
          return { id: next }
        }),
        ({ id }) => Effect.sync(() => open.delete(id))
      )
    )
  }

  const holder = Simulation.actor("holder", Effect.andThen(Connection, Simulation.pause))

  const play = (faults: Partial<Simulation.FaultRates>) =>
    Effect.gen(function* () {
      const open = new Set<number>()
      const { counts } = yield* Simulation.runSeeds({
        actors: [holder],
        services: connections(open),
        faults: { ...Simulation.noFaults, ...faults },
        leaks: false,
        seeds: 1
      })
      return { open: open.size, counts }
    })

  it.effect("are built once for each, and die with it", () =>
    Effect.gen(function* () {
      const { counts, open } = yield* play({ kills: 0.1 })
      const killed = counts["processes killed"] ?? 0
      assert.isAbove(killed, 0)
      // A process that is killed releases nothing; one that is asked to end does.
      assert.isAtLeast(open, killed)
      assert.isAbove(counts["processes interrupted"] ?? 0, 0)
    })
  )
})
