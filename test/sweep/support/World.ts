/**
 * A catalogue and a store in memory, a sweep over them, and what a registry does to them, under `TestClock`.
 *
 * `sweep` checks the invariants after every sweep, so no test can forget to.
 */
import { assert } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Fiber, Layer, Option, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  Database,
  type ManifestReference,
  type Reference,
  type StagedChunk
} from "../../../src/database/Database.ts"
import * as MemoryDatabase from "../../../src/database/Memory.ts"
import { Digest } from "../../../src/domain/Digest.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { StorageError } from "../../../src/domain/StorageError.ts"
import type { SweepReport } from "../../../src/domain/SweepReport.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { Sweep, type SweepOptions } from "../../../src/sweep/Sweep.ts"
import * as Facts from "../../../src/testing/Facts.ts"
import * as FaultyDatabase from "../../../src/testing/FaultyDatabase.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"

/** When every test begins. */
export const start = Date.parse("2026-11-22T00:00:00.000Z")

export const minute = 60_000
export const hour = 60 * minute
export const day = 24 * hour

export class World extends Context.Service<
  World,
  {
    /** The tables. */
    readonly state: MemoryDatabase.State
    /** What the store holds. */
    readonly bucket: MemoryStorage.State
    /** Faults of the database and of the store as the sweep sees them. */
    readonly database: FaultyDatabase.DatabaseScript
    readonly storage: FaultyStorage.StorageScript
    /** The same two without faults: what writers, other programs and the test itself use. */
    readonly rows: Database["Service"]
    readonly store: Storage["Service"]
  }
>()("test/World") {}

/** A test's own wrapper around the memory database as the sweep sees it, e.g. to take a protection away. */
export type Wrapper = (
  inner: Database["Service"],
  state: MemoryDatabase.State,
  store: Storage["Service"]
) => Database["Service"]

/** A world of its own for each time it is provided, at {@link start}. */
export const world = (
  settings: Partial<SweepSettings> = {},
  wrap: Wrapper = (inner) => inner
): Layer.Layer<World | Sweep | Database | Storage> =>
  Layer.unwrap(
    Effect.sync(() => {
      const state = MemoryDatabase.emptyState()
      const database = FaultyDatabase.script()
      const storage = FaultyStorage.script()
      const rows = MemoryDatabase.layer(state)
      const bucket = MemoryStorage.emptyState()
      const store = MemoryStorage.layerOf(bucket)
      const base = Layer.effect(
        World,
        Effect.gen(function* () {
          yield* TestClock.setTime(start)
          return World.of({ state, bucket, database, storage, rows: yield* Database, store: yield* Storage })
        })
      ).pipe(Layer.provide([rows, store]))
      const wrapped = Layer.effect(
        Database,
        Effect.gen(function* () {
          return Database.of(wrap(yield* Database, state, yield* Storage))
        })
      ).pipe(Layer.provide([rows, store]))
      const faulty = Layer.mergeAll(
        FaultyDatabase.layer(database).pipe(Layer.provide(wrapped)),
        FaultyStorage.layer(storage).pipe(Layer.provide(store))
      )
      return Layer.mergeAll(base, Sweep.layer(settings).pipe(Layer.provideMerge(faulty)))
    })
  )

// -- names: blobs, references and sessions are called by one word in the tests

export const digest = (name: string): Digest => Digest.make(name)
export const artifact = (name: string, of: string): Reference => ({
  _tag: "Artifact",
  repository: "library",
  name,
  digest: digest(of)
})
export const localFile = (path: string, of: string): Reference => ({
  _tag: "LocalFile",
  path,
  digest: digest(of)
})

/** The key of the `attempt`-th upload of a blob. */
export const blobKey = (name: string, attempt = 1): ObjectKey => ObjectKey.make(`blobs/${name}/${attempt}`)

// -- what writers do

const bytes = (sizeBytes: number) => Stream.make(new Uint8Array(sizeBytes))

/** Writes an object and tells nobody. */
export const stage = (key: string, sizeBytes = 1) =>
  Effect.flatMap(World, ({ store }) => store.put(ObjectKey.make(key), bytes(sizeBytes), sizeBytes))

export interface UploadOptions {
  readonly sizeBytes?: number
  readonly key?: ObjectKey
  readonly references?: ReadonlyArray<Reference>
}

/** Uploads a blob by the protocol: intent, bytes, row with references. Without references it is born an orphan. */
export const upload = Effect.fnUntraced(function* (name: string, options: UploadOptions = {}) {
  const { rows } = yield* World
  const { sizeBytes = 1, key = blobKey(name), references = [] } = options
  const now = yield* Clock.currentTimeMillis
  yield* rows.blobs.intend([{ key, digest: digest(name), expiresAt: now + day }])
  yield* stage(key, sizeBytes)
  const [outcome] = yield* rows.blobs.publish(now, [{ key, digest: digest(name), sizeBytes, references }])
  return outcome
})

/** Refers to a blob that is already there, as a dedup hit does; false when it is not there. */
export const refer = Effect.fnUntraced(function* (reference: Reference) {
  const { rows } = yield* World
  const live = yield* rows.blobs.adopt(yield* Clock.currentTimeMillis, [reference])
  return live.has(reference.digest)
})

/** Pushes content: finds it by dedup, or else uploads it again under a fresh key. */
export const push = Effect.fnUntraced(function* (reference: Reference, key: ObjectKey) {
  if (yield* refer(reference)) return "found" as const
  yield* upload(reference.digest, { key, references: [reference] })
  return "uploaded" as const
})

export const drop = (reference: Reference) =>
  Effect.flatMap(World, ({ rows }) => rows.blobs.unreference([reference]))

/** Announces an upload that its writer never finishes, whether or not its bytes arrive. */
export const abandon = Effect.fnUntraced(function* (name: string, expiresAt: number, withBytes = true) {
  const { rows } = yield* World
  yield* rows.blobs.intend([{ key: blobKey(name), digest: digest(name), expiresAt }])
  if (withBytes) yield* stage(blobKey(name))
})

/** A chunk of an upload session: announced, sent, and made a part of it. The first has a blob's key. */
export const appendChunk = Effect.fnUntraced(function* (id: string, startByte: number, sizeBytes = 1) {
  const { rows } = yield* World
  const now = yield* Clock.currentTimeMillis
  const key = chunkKey(id, startByte)
  yield* rows.blobs.intend([{ key, digest: null, expiresAt: now + hour }])
  yield* stage(key, sizeBytes)
  const chunk: StagedChunk = { startByte, sizeBytes, key, digest: digest(`${id} ${startByte}`) }
  return yield* rows.sessions.append(now, { repository: "library", id }, chunk)
})

export const chunkKey = (id: string, startByte: number): ObjectKey =>
  ObjectKey.make(startByte === 0 ? `blobs/new/${id}` : `uploads/${id}/${startByte}`)

/** An upload session with chunks of these sizes. */
export const session = Effect.fnUntraced(function* (id: string, sizes: ReadonlyArray<number> = []) {
  const { rows } = yield* World
  yield* rows.sessions.open(yield* Clock.currentTimeMillis, {
    repository: "library",
    id,
    algorithm: "sha256"
  })
  let startByte = 0
  for (const size of sizes) {
    yield* appendChunk(id, startByte, size)
    startByte += size
  }
})

export interface ManifestOptions {
  readonly tags?: ReadonlyArray<string>
  /** Manifests that it lists. */
  readonly lists?: ReadonlyArray<string>
  /** Blobs that it needs. */
  readonly layers?: ReadonlyArray<string>
  readonly subject?: string
}

/** A manifest of one byte, which is a blob of the same name. */
export const manifest = Effect.fnUntraced(function* (
  name: string,
  { lists = [], layers = [], subject, tags = [] }: ManifestOptions = {}
) {
  const { rows } = yield* World
  const now = yield* Clock.currentTimeMillis
  if (!(yield* blobs).includes(name)) yield* upload(name)
  const stored = yield* rows.manifests.put(
    now,
    {
      repository: "library",
      digest: digest(name),
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      sizeBytes: 1,
      artifactType: null,
      annotations: null,
      subject: subject === undefined ? null : digest(subject)
    },
    [
      ...lists.map((child): ManifestReference => ({ digest: digest(child), kind: "manifest" })),
      ...layers.map((layer): ManifestReference => ({ digest: digest(layer), kind: "layer" }))
    ],
    { tags }
  )
  assert.strictEqual(stored._tag, "stored")
})

export const untag = (tag: string) =>
  Effect.flatMap(World, ({ rows }) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => rows.manifests.untag(now, "library", tag))
  )

/** Begins an upload in parts that nobody finishes; its last part came at `lastActivityAt`. */
export const beginParts = Effect.fnUntraced(function* (
  key: string,
  uploadId: string,
  lastActivityAt: number = start
) {
  const { bucket } = yield* World
  bucket.multiparts.set(uploadId, { key: ObjectKey.make(key), lastActivityAt })
})

/** The ids of uploads in parts that the store holds. */
export const parts = Effect.map(
  World,
  ({ bucket }): ReadonlyArray<string> => [...bucket.multiparts.keys()].sort()
)

/** A dead key with its object, in the journal since `notBefore`, as if an earlier sweep had purged its blob. */
export const bury = Effect.fnUntraced(function* (name: string, notBefore: number = start, sizeBytes = 1) {
  const { state } = yield* World
  const key = blobKey(name)
  yield* stage(key, sizeBytes)
  state.journal.set(key, {
    digest: digest(name),
    sizeBytes,
    reason: "purged",
    notBefore,
    claimedUntil: null,
    attempts: 0,
    lastError: null,
    deadAt: null,
    uploadId: null
  })
  return key
})

// -- what the test sees

/** Runs one sweep, checks the invariants, and answers its report. */
export const sweep = Effect.fnUntraced(function* (options?: SweepOptions) {
  const report = yield* (yield* Sweep).once(options)
  yield* sound
  return report
})

/** Fails the test when an invariant is broken. */
export const sound = Effect.gen(function* () {
  const { state, store } = yield* World
  assert.deepStrictEqual(yield* Facts.invariants(state, store), [])
})

/** Objects and uploads in parts that belong to nothing, outside the staged uploads. */
export const leaked = Effect.flatMap(World, ({ state, store }) => Facts.leaks(state, store, "uploads/"))

/** Nothing was lost, and outside the uploads nothing leaks. */
export const clean = Effect.gen(function* () {
  assert.deepStrictEqual(yield* leaked, [])
})

/** Every key in the store. */
export const objects = Effect.flatMap(
  World,
  ({ store }): Effect.Effect<ReadonlyArray<string>, StorageError> => Facts.objects(store)
)

/** Every blob that has a row, in digest order. */
export const blobs = Effect.map(World, ({ state }): ReadonlyArray<string> => [...state.blobs.keys()].sort())

/** Upload sessions that are not done. */
export const sessions = Effect.map(
  World,
  ({ state }): ReadonlyArray<string> =>
    [...state.sessions.values()].flatMap(({ id, state }) => (state === "done" ? [] : id)).sort()
)

/** Manifests, in digest order. */
export const manifests = Effect.map(
  World,
  ({ state }): ReadonlyArray<string> => [...state.manifests.values()].map((row) => row.digest).sort()
)

/** The journal's keys, in key order. */
export const journaled = Effect.map(
  World,
  ({ state }): ReadonlyArray<string> => [...state.journal.keys()].sort()
)

export const journalRow = (key: ObjectKey) =>
  Effect.map(World, ({ state }) => Option.getOrThrow(Option.fromUndefinedOr(state.journal.get(key))))

/** A copy of all rows, for comparing before and after. */
export const snapshot = Effect.flatMap(World, ({ state, store }) =>
  Effect.map(Facts.objects(store), (keys) => ({ rows: structuredClone(state), keys }))
)

/** Lets `millis` pass and sweeps. */
export const sweepAfter = (millis: number, options?: SweepOptions) =>
  Effect.andThen(TestClock.adjust(millis), sweep(options))

/** Lets every fibre that can run do so until it waits for the clock or for another. */
export const settle = Effect.forEach(Array(200), () => Effect.yieldNow, { discard: true })

/** Runs `effect` while virtual time passes, a second at a time. */
export const passing = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect)
  yield* settle
  for (let n = 0; n < day / 1000 && fiber.pollUnsafe() === undefined; n++) yield* TestClock.adjust("1 second")
  return yield* Fiber.join(fiber)
})

/** Another replica: a sweep of its own over the same catalogue and store. */
export const replica = (settings: Partial<SweepSettings> = {}) =>
  Effect.map(Layer.build(Sweep.layer(settings)), Context.get(Sweep))

/** Runs `effect` until `died` completes: a process that is killed at that moment. */
export const killedWhen = <A, E, R, X>(effect: Effect.Effect<A, E, R>, died: Effect.Effect<X>) =>
  Effect.raceFirst(Effect.map(effect, Result.succeed), Effect.map(died, Result.fail))

/** Numbers of a report that tests look at most. */
export const counts = (report: SweepReport, phase: keyof SweepReport["phases"]) => {
  const { seen, eligible, deleted, bytes, kept, failed, stoppedBy } = report.phases[phase]
  return { seen, eligible, deleted, bytes, kept, failed, stoppedBy }
}

export const millis = (duration: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(duration))
