/** Holds a backend to telling every story as memory tells it: report, rows and objects after every sweep. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Layer } from "effect"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import * as Databases from "../fixtures/Databases.ts"
import { type Backend, OtherClient, play, type Scene } from "../fixtures/scenarios/Stage.ts"
import { scenarios, stagedUploads } from "./scenarios.ts"

/** A store in memory, and another client of it. */
const store = Layer.unwrap(
  Effect.sync(() => {
    const state = MemoryStorage.emptyState()
    return Layer.merge(
      MemoryStorage.layerOf(state),
      Layer.succeed(OtherClient, {
        begin: (key) =>
          Effect.map(Clock.currentTimeMillis, (lastActivityAt) => {
            const uploadId = `of ${key}`
            state.multiparts.set(uploadId, { key, lastActivityAt })
            return uploadId
          })
      })
    )
  })
)

export const memory: Backend<never> = { layer: Layer.merge(Databases.memory, store) }

/** A store that knows no uploads in parts, with those of one in memory. */
export const withParts = <E>(layer: Layer.Layer<Storage, E>): Layer.Layer<Storage | OtherClient, E> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const objects = yield* Storage
      const twin = yield* Layer.build(store)
      const { multiparts, abortMultipart } = Context.get(twin, Storage)
      return Context.add(twin, Storage, Storage.of({ ...objects, multiparts, abortMultipart }))
    })
  ).pipe(Layer.provide(layer))

export interface Options {
  /** When the stories begin. Default: always at the same instant. */
  readonly start?: () => number
  /** The store dates objects by a clock of its own, so that no two tellings agree on when. */
  readonly ownClock?: boolean
}

export const sameAsMemory = <E>(name: string, backend: Backend<E>, options: Options = {}): void => {
  const start = options.start ?? (() => Date.parse("2026-11-22T00:00:00.000Z"))
  describe(`on ${name} as in memory`, () => {
    for (const scenario of scenarios) {
      it.effect(scenario.name, () =>
        Effect.gen(function* () {
          const begin = start()
          const there = yield* play(scenario, begin, backend)
          const here = yield* play(scenario, begin, memory)
          const dateless = options.ownClock === true && scenario === stagedUploads
          assert.deepStrictEqual(dateless ? there.map(undated) : there, dateless ? here.map(undated) : here)
        })
      )
    }
  })
}

/** Of a story that goes by the store's clock: everything but when the sweeps began. */
const undated = (scene: Scene): Scene => ({ ...scene, report: { ...scene.report, startedAt: "", sweep: "" } })
