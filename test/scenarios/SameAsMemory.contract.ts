/** Requires a backend to give the same reports, rows and objects after every sweep as memory does. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Layer } from "effect"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import * as Databases from "../fixtures/Databases.ts"
import { scenarios, stagedUploads } from "../fixtures/scenarios/Scenarios.ts"
import { type Backend, OtherClient, play, type Scene } from "../fixtures/scenarios/Stage.ts"

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

/** The backend in memory. */
export const memory: Backend<never> = { layer: Layer.merge(Databases.memory, store) }

/** Adds the uploads in parts of a memory store to a store that has none. */
export const withParts = <E>(layer: Layer.Layer<Storage, E>): Layer.Layer<Storage | OtherClient, E> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const objects = yield* Storage
      const twin = yield* Layer.build(store)
      const { multiparts, abortMultipart } = Context.get(twin, Storage)
      return Context.add(twin, Storage, Storage.of({ ...objects, multiparts, abortMultipart }))
    })
  ).pipe(Layer.provide(layer))

/** Options of the comparison. */
export interface Options {
  /** Returns the instant at which a scenario begins. Default: always the same. */
  readonly start?: () => number
  /** True if the store dates objects by its own clock, so that the dates of two runs differ. */
  readonly ownClock?: boolean
}

/** Plays every scenario on the backend and in memory, and compares the scenes. */
export const sameAsMemory = <E>(name: string, backend: Backend<E>, options: Options = {}): void => {
  const start = options.start ?? (() => Date.parse("2026-11-22T00:00:00.000Z"))
  describe(`on ${name} as in memory`, () => {
    for (const scenario of scenarios) {
      it.effect(scenario.name, () =>
        Effect.gen(function* () {
          const begin = start()
          const there = yield* play(scenario, begin, backend)
          const here = yield* play(scenario, begin, { ...memory, nests: backend.nests ?? true })
          const dateless = options.ownClock === true && scenario === stagedUploads
          const compared = there.map((scene) => (dateless ? undated(scene) : scene)).map(allListed)
          assert.deepStrictEqual(compared, dateless ? here.map(undated) : here)
        })
      )
    }
  })
}

/** Removes what a phase says of a store that does not list all uploads in parts. Memory does. */
const allListed = (scene: Scene): Scene => {
  const { unlisted, ...multiparts } = scene.report.phases.multiparts
  if (unlisted !== undefined) assert.match(unlisted, /recorded are aborted/)
  return { ...scene, report: { ...scene.report, phases: { ...scene.report.phases, multiparts } } }
}

/** Removes the start of the sweep from a scene, which depends on the store's clock. */
const undated = (scene: Scene): Scene => ({ ...scene, report: { ...scene.report, startedAt: "", sweep: "" } })
