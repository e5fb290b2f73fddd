/**
 * Unannounced writers, native writers and collectors with very short waits, all at once for a few seconds.
 * Their store loses answers and delays requests. The test checks what readers and operators would see.
 */

import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Stream } from "effect"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { fails, lands } from "../../../src/testing/Faults.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import { type Arena, ownArena } from "../../fixtures/Arena.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { inserts, installs, refers, unannouncedKey } from "../../fixtures/database/WriterStage.ts"
import { artifact, digest, key } from "../../fixtures/samples.ts"

/**
 * Few blobs, so that writers and collectors meet. Fewer are nearly always referred to, so that hardly any is deleted: with six,
 * 1,298 pushes met no key that was being deleted (2026-11-30), and with twelve, some 800 met 38 and more.
 */
const blobs = 12
const anyBlob = () => Math.floor(Math.random() * blobs)
const chance = (of: number) => Math.random() < of
/** Waits a moment, and sometimes longer. */
const breathes = Effect.suspend(() => Effect.sleep(Duration.millis(chance(0.2) ? Math.random() * 30 : 1)))

const settings: Partial<SweepSettings> = {
  grace: Duration.millis(5),
  quarantine: Duration.zero,
  lease: Duration.millis(50),
  backoffBase: Duration.millis(5),
  backoffCap: Duration.millis(10)
}

const lateMillis = 100

const crowd = Effect.fnUntraced(function* (server: Server, guarded: boolean) {
  const arena = yield* ownArena(server)
  if (guarded) yield* installs(arena.place)
  const state = MemoryStorage.emptyState()
  const faults = FaultyStorage.script()
  const inner = MemoryStorage.layerOf(state)
  const storage = yield* Layer.build(FaultyStorage.layer(faults).pipe(Layer.provide(inner)))
  faults.always(({ operation }) => {
    if (!["delete", "put", "copy"].includes(operation)) return undefined
    if (chance(0.15)) return lands("TimedOut", Duration.millis(Math.random() * lateMillis))
    return chance(0.03) ? fails("TimedOut") : undefined
  })
  const lost: Array<string> = []
  const counts = { unannounced: 0, native: 0, refused: 0, adopted: 0, dropped: 0, deleted: 0 }
  return { arena, faults, store: Context.get(storage, Storage), objects: state.objects, lost, counts }
})
type Crowd = Effect.Success<ReturnType<typeof crowd>>

const bytes = Stream.make(new Uint8Array(1))

const unannouncedWriter = Effect.fnUntraced(function* ({ arena, store, counts }: Crowd) {
  const session = yield* arena.session
  const push = Effect.gen(function* () {
    const n = anyBlob()
    const found = yield* session("SELECT FROM blobs WHERE digest = $1", [digest(n)])
    yield* breathes
    if (found.length === 0) yield* store.put(unannouncedKey(n), bytes, 1)
    yield* breathes
    yield* inserts(session, n)
    yield* breathes
    yield* refers(session, randomUUID(), n)
    counts.unannounced += 1
  })
  const tried = Effect.catch(push, () =>
    Effect.sync(() => {
      counts.refused += 1
    })
  )
  return yield* Effect.forever(Effect.andThen(tried, breathes))
})

const nativeWriter = Effect.fnUntraced(function* ({ arena, store, counts }: Crowd) {
  const { blobs: writers } = yield* arena.process()
  const push = Effect.gen(function* () {
    const n = anyBlob()
    const reference = artifact(randomUUID(), n)
    if ((yield* writers.adopt(Date.now(), [reference])).size === 0) {
      const at = key(randomUUID())
      yield* writers.intend([{ key: at, digest: digest(n), expiresAt: Date.now() + 30 }])
      yield* breathes
      yield* store.put(at, bytes, 1)
      yield* breathes
      const upload = { key: at, digest: digest(n), sizeBytes: 1, references: [reference] }
      yield* writers.publish(Date.now(), [upload])
    }
    counts.native += 1
  })
  return yield* Effect.forever(Effect.andThen(Effect.ignore(push), Effect.sleep("20 millis")))
})

const collector = Effect.fnUntraced(function* ({ arena, store, counts }: Crowd) {
  const services = Layer.mergeAll(AllDatabases.all(yield* arena.process()), Layer.succeed(Storage, store))
  const sweep = Context.get(
    yield* Layer.build(Layer.provide(Sweep.layerUnchecked(settings), services)),
    Sweep
  )
  return {
    sweeps: Effect.map(sweep.once(), ({ phases, totals }) => {
      counts.deleted += totals.deleted
      counts.adopted += phases.suspects.kept.adopted ?? 0
      counts.dropped += phases.suspects.kept.dropped ?? 0
    })
  }
})

const dropper = Effect.fnUntraced(function* ({ arena }: Crowd) {
  const session = yield* arena.session
  const drop = session("DELETE FROM artifacts")
  return yield* Effect.forever(Effect.andThen(Effect.ignore(drop), Effect.sleep("10 millis")))
})

/** A reference that exists before and after its object was found missing has lost its bytes. */
const reader = Effect.fnUntraced(function* (c: Crowd) {
  const session = yield* c.arena.session
  const one = "SELECT a.name, b.object_key FROM artifacts a LEFT JOIN blobs b USING (digest)"
  const read = Effect.gen(function* () {
    const [row] = yield* session(`${one} ORDER BY random() LIMIT 1`)
    if (row === undefined || c.objects.has(row.object_key as ObjectKey)) return
    const [again] = yield* session(`${one} WHERE name = $1`, [row.name])
    if (again !== undefined && again.object_key === row.object_key) c.lost.push(String(row.object_key))
  })
  return yield* Effect.forever(Effect.andThen(Effect.ignore(read), Effect.sleep("2 millis")))
})

/** Runs all of them until `enough`, then only the collectors, until no request is on its way. */
const run = Effect.fnUntraced(function* (c: Crowd, enough: Effect.Effect<unknown>) {
  const collectors = [yield* collector(c), yield* collector(c)]
  const actors = [
    ...[unannouncedWriter(c), unannouncedWriter(c), unannouncedWriter(c), unannouncedWriter(c)],
    ...[nativeWriter(c), dropper(c), reader(c)],
    ...collectors.map(({ sweeps }) => Effect.forever(Effect.andThen(sweeps, Effect.sleep("2 millis"))))
  ]
  const fibers = yield* Effect.forEach(actors, (one) => Effect.forkChild(one))
  yield* enough
  yield* Fiber.interruptAll(fibers)
  c.faults.heal()
  yield* Effect.sleep(Duration.millis(2 * lateMillis))
  for (let n = 0; n < 6; n++)
    yield* Effect.andThen(
      Effect.forEach(collectors, ({ sweeps }) => sweeps),
      Effect.sleep("40 millis")
    )
})

/** How long the run lasts at least. On a busy machine it lasts until every count is above zero. */
const seconds = Number(process.env.UNANNOUNCED_STRESS_SECONDS ?? 3)
const eventful = ({ counts }: Crowd) =>
  Effect.sleep(Duration.seconds(seconds)).pipe(
    Effect.andThen(
      Effect.repeat(Effect.sleep("10 millis"), { until: () => Object.values(counts).every((n) => n > 0) })
    ),
    Effect.timeoutOption(Duration.seconds(seconds + 15))
  )

/** References without rows, and rows without objects. */
const broken = ({ arena, objects }: { readonly arena: Arena; readonly objects: Crowd["objects"] }) =>
  Effect.map(arena.tables.rows, ({ blobs, references }) => [
    ...references.filter((reference) => !blobs.some((blob) => blob.digest === reference.digest)),
    ...blobs.filter((blob) => !objects.has(blob.key))
  ])

export const stress = (server: Server): void => {
  describe("unannounced writers, native writers and collectors at once", () => {
    it.live(
      "lose nothing where the triggers are installed",
      () =>
        Effect.gen(function* () {
          const c = yield* crowd(server, true)
          yield* run(c, eventful(c))
          assert.deepStrictEqual(c.lost, [])
          assert.deepStrictEqual(yield* broken(c), [])
          assert.deepStrictEqual((yield* c.arena.tables.rows).suspects, [])
          yield* Effect.logInfo("counts", c.counts)
          for (const [what, count] of Object.entries(c.counts)) assert.isAbove(count, 0, what)
          assert.strictEqual(yield* c.arena.deadlocks, 0)
        }),
      (seconds + 27) * 1000
    )

    it.live("control: without the triggers, they do", () =>
      Effect.gen(function* () {
        const c = yield* crowd(server, false)
        const found = Effect.repeat(Effect.sleep("10 millis"), { until: () => c.lost.length > 0 })
        yield* run(c, Effect.timeoutOption(found, "20 seconds"))
        yield* Effect.logInfo("counts", c.counts)
        assert.isNotEmpty(c.lost)
      })
    )
  })
}
