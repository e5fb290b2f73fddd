/** A reference source in a simulation: references that are kept in another store, which fails and answers late. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Data, Effect, Layer, Stream } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import * as ReferenceSource from "../../../src/sweep/ReferenceSource.ts"
import { Simulation } from "../../../src/testing/index.ts"

class Down extends Data.TaggedError("Down") {}

/** The other store: names of users, each with the digest of an avatar. */
class Redis extends Context.Service<
  Redis,
  {
    readonly set: (user: string, digest: Digest) => Effect.Effect<void, Down>
    readonly del: (user: string) => Effect.Effect<void, Down>
    readonly users: (digests: ReadonlyArray<Digest>) => Effect.Effect<ReadonlyArray<Digest>, Down>
    /** Answers no question for half an hour. */
    readonly fail: Effect.Effect<void, Down>
    /** What it holds, without a network. */
    readonly held: ReadonlyMap<string, Digest>
  }
>()("test/Redis") {}

const redis = Layer.sync(Redis, () => {
  const held = new Map<string, Digest>()
  let downUntil = 0
  const verbs = {
    set: (user: string, digest: Digest): Effect.Effect<void, Down> =>
      Effect.sync(() => void held.set(user, digest)),
    del: (user: string): Effect.Effect<void, Down> => Effect.sync(() => void held.delete(user)),
    fail: Effect.map(Clock.currentTimeMillis, (now) => {
      downUntil = now + 30 * 60_000
    }),
    users: Effect.fnUntraced(function* (digests: ReadonlyArray<Digest>) {
      if ((yield* Clock.currentTimeMillis) < downUntil) return yield* new Down()
      const used = new Set(held.values())
      return digests.filter((digest) => used.has(digest))
    })
  }
  return Redis.of({ ...Simulation.gate(verbs, "Redis", { failure: () => new Down() }), held })
})

const bytesOf = (text: string) => Stream.make(new TextEncoder().encode(text))

/** Stores an avatar under a pin, refers to it in the other store, and ends the pin. */
const user = Effect.gen(function* () {
  const blobs = yield* BlobStore
  const { set } = yield* Redis
  const rng = yield* Simulation.rng
  const pinId = `pin ${rng.below(1_000_000_000)}`
  const stored = yield* blobs.put(bytesOf(rng.pick(["cat", "dog", "owl"])), {
    ...{ pin: "30 days", pinId, replayable: true }
  })
  yield* set(`user ${rng.below(4)}`, stored.digest)
  yield* blobs.unpin([pinId])
  yield* Simulation.count("avatars")
})

const leaver = Effect.gen(function* () {
  const { del } = yield* Redis
  yield* del(`user ${(yield* Simulation.rng).below(4)}`)
})

const outage = Effect.gen(function* () {
  yield* (yield* Redis).fail
  yield* Simulation.count("outages")
})

const avatarsExist = Simulation.invariant<Redis>("every avatar has its blob", ({ blobs, objects }) =>
  Effect.map(Redis, ({ held }) => {
    const lost = [...held].find(([, digest]) => !objects.has(blobs.get(digest)?.key ?? ("" as never)))
    return lost === undefined ? null : `${lost[0]} has ${lost[1]}, which is gone`
  })
)

const ask = (digests: ReadonlyArray<Digest>) => Effect.flatMap(Redis, ({ users }) => users(digests))

/** Without waits, so that few seeds show a mutant. */
const appWith = (source: ReferenceSource.ReferenceSource<Redis>) => ({
  settings: { grace: 0, quarantine: 0 },
  faults: { collectorFirst: 0.3 },
  servers: redis,
  sources: [source],
  invariants: [avatarsExist],
  actors: [
    Simulation.actor("user", user, { count: 2 }),
    Simulation.actor("leaver", leaver),
    Simulation.actor("outage", outage),
    Simulation.collector({ count: 2 })
  ]
})

const safe = appWith(ReferenceSource.make("redis", ask))

/** Each breaks within so many seeds. */
const mutants = {
  "takes an error for the answer that nothing is held": [
    100,
    (digests: ReadonlyArray<Digest>) => Effect.orElseSucceed(ask(digests), () => [])
  ],
  "never asks": [20, () => Effect.succeed([])]
} as const

describe("a simulation with a reference source", () => {
  it.effect("keeps what the other store holds, although it fails and answers late", () =>
    Effect.gen(function* () {
      const { counts } = yield* Simulation.runSeeds({ ...safe, seeds: 25 })
      for (const what of [
        "avatars",
        "requests failed",
        "answers lost",
        "outages",
        "sweep: complete",
        "sweep: failed"
      ])
        assert.isAbove(counts[what] ?? 0, 0, what)
    })
  )

  for (const [what, [within, asks]] of Object.entries(mutants)) {
    it.effect(`loses an avatar where the source ${what}`, () =>
      Effect.gen(function* () {
        const mutant = appWith(ReferenceSource.make("redis", asks))
        const broken = yield* Effect.flip(Simulation.runSeeds({ ...mutant, seeds: within, shrinkRuns: 0 }))
        assert.strictEqual(broken.invariant, "every avatar has its blob")
        const held = yield* Simulation.run({ ...safe, seed: broken.seed })
        assert.strictEqual(held._tag, "Held", "the protected app holds at the same seed")
      })
    )
  }
})
