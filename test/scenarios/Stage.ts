/**
 * What a scenario is played on: any database, any store, `TestClock`. Every sweep is written down with the rows and
 * objects that it left, so that two backends can be compared line by line.
 */
import { assert } from "@effect/vitest"
import { Clock, Context, type Duration, Effect, Layer, Random, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Database, type PublishOutcome, type Reference } from "../../src/database/Database.ts"
import { referenceId } from "../../src/database/Memory.ts"
import { Digest } from "../../src/domain/Digest.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { type PhaseReport, phaseNames, type SweepReport } from "../../src/domain/SweepReport.ts"
import { Storage } from "../../src/storage/Storage.ts"
import type { SweepSettings } from "../../src/sweep/Settings.ts"
import { Sweep, type SweepOptions } from "../../src/sweep/Sweep.ts"
import * as Facts from "../../src/testing/Facts.ts"
import * as FaultyStorage from "../../src/testing/FaultyStorage.ts"
import { type Rows, Tables } from "../support/Tables.ts"

export const hour = 3_600_000
export const day = 24 * hour

/** What a sweep said and left. Durations are the backend's own affair. */
export interface Scene {
  readonly report: SweepReport
  readonly rows: Rows
  readonly objects: ReadonlyArray<string>
}

export interface Scenario {
  /** A sentence of behaviour. */
  readonly name: string
  readonly settings: Partial<SweepSettings>
  readonly play: (stage: Stage) => Effect.Effect<void>
}

/** What another client does in the store, whose process dies before it comes to an end. */
export class OtherClient extends Context.Service<
  OtherClient,
  {
    /** Begins an upload in parts and answers its id. */
    readonly begin: (key: ObjectKey) => Effect.Effect<string>
  }
>()("artifact-gc/test/scenarios/OtherClient") {}

export interface Stage {
  readonly now: Effect.Effect<number>
  readonly pass: (duration: Duration.Input) => Effect.Effect<void>
  readonly setTime: (instant: number) => Effect.Effect<void>
  /** Waits until the store dates what is written now later than what was written before. */
  readonly later: Effect.Effect<void>
  /** What the sweep's requests to the store suffer. */
  readonly faults: FaultyStorage.StorageScript
  readonly database: Database["Service"]
  readonly tables: Tables["Service"]
  /** Writes an object and answers how the store dates it. */
  readonly chunk: (key: string, sizeBytes?: number) => Effect.Effect<number>
  /** Begins an upload in parts that its writer never finishes; answers its id. */
  readonly begin: (key: ObjectKey) => Effect.Effect<string>
  /** Keys of the uploads in parts that the store holds. */
  readonly parts: Effect.Effect<ReadonlyArray<string>>
  /** Announces, writes and publishes a blob under the key of its `attempt`. */
  readonly upload: (
    name: string,
    references?: ReadonlyArray<Reference>,
    sizeBytes?: number,
    attempt?: number
  ) => Effect.Effect<PublishOutcome | undefined>
  /** Refers to a blob that is there; false when it is not. */
  readonly refer: (reference: Reference) => Effect.Effect<boolean>
  readonly drop: (reference: Reference) => Effect.Effect<number>
  readonly sweep: (options?: SweepOptions) => Effect.Effect<SweepReport>
  readonly rows: Effect.Effect<Rows>
  readonly objects: Effect.Effect<ReadonlyArray<string>>
}

/** Where a scenario is played. */
export interface Backend<E> {
  readonly layer: Layer.Layer<Database | Tables | Storage | OtherClient, E>
  /** Default: virtual time passes, for stores that date objects by `Clock`. */
  readonly later?: Effect.Effect<void>
}

export const digest = (name: string): Digest => Digest.make(name)
export const key = (name: string, attempt = 1): ObjectKey => ObjectKey.make(`blobs/${name}/${attempt}`)
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

/** Plays `scenario` from `start` on and answers what every sweep of it said and left. */
export const play = Effect.fnUntraced(function* <E>(scenario: Scenario, start: number, backend: Backend<E>) {
  const scenes: Array<Scene> = []
  yield* TestClock.setTime(start)
  yield* Effect.gen(function* () {
    const stage = yield* make(scenario.settings, scenes, backend.later ?? TestClock.adjust("10 seconds"))
    yield* scenario.play(stage)
  }).pipe(Effect.provide(backend.layer), Random.withSeed(scenario.name), Effect.scoped)
  return scenes
})

const make = Effect.fnUntraced(function* (
  settings: Partial<SweepSettings>,
  scenes: Array<Scene>,
  later: Effect.Effect<void>
) {
  const database = yield* Database
  const storage = yield* Storage
  const tables = yield* Tables
  const other = yield* OtherClient
  const faults = FaultyStorage.script()
  const faulty = FaultyStorage.layer(faults).pipe(Layer.provide(Layer.succeed(Storage, storage)))
  const sweeping = Sweep.layer(settings).pipe(
    Layer.provide(Layer.merge(Layer.succeed(Database, database), faulty))
  )
  const sweep = Context.get(yield* Layer.build(sweeping), Sweep)
  const now = Clock.currentTimeMillis
  const objects = Effect.orDie(Facts.objects(storage))
  // Each store has ids of its own.
  const begun = new Map<string, string>()
  const named = <Row extends { readonly uploadId: string | null }>(row: Row): Row => ({
    ...row,
    uploadId: row.uploadId === null ? null : (begun.get(row.uploadId) ?? row.uploadId)
  })
  const rows = Effect.map(tables.rows, ({ intents, journal, ...rest }) => ({
    ...rest,
    intents: intents.map(named),
    journal: journal.map(named)
  }))

  const chunk = Effect.fnUntraced(function* (name: string, sizeBytes = 1) {
    const key = ObjectKey.make(name)
    yield* storage.put(key, Stream.make(new Uint8Array(sizeBytes)), sizeBytes)
    // Not by `head`, which tells seconds where a listing may tell milliseconds, and listings are what sweeps go by.
    const found = (yield* Stream.runCollect(storage.list(key))).flat().find((object) => object.key === key)
    return found === undefined ? assert.fail(`${name} was written and is not listed`) : found.modifiedAt
  }, Effect.orDie)

  const stage: Stage = {
    now,
    pass: TestClock.adjust,
    setTime: TestClock.setTime,
    later,
    faults,
    database,
    tables,
    chunk,
    begin: (key) =>
      Effect.map(other.begin(key), (id) => {
        begun.set(id, `upload ${begun.size + 1}`)
        return id
      }),
    parts: Stream.runCollect(storage.multiparts("")).pipe(
      Effect.map((pages) => pages.flat().map(({ key }) => key)),
      Effect.orDie
    ),
    upload: Effect.fnUntraced(function* (name, references = [], sizeBytes = 1, attempt = 1) {
      const publication = { key: key(name, attempt), digest: digest(name), sizeBytes, references }
      const at = yield* now
      yield* database.blobs.intend([{ ...publication, expiresAt: at + day }])
      yield* chunk(publication.key, sizeBytes)
      const [outcome] = yield* database.blobs.publish(at, [publication])
      return outcome
    }, Effect.orDie),
    refer: Effect.fnUntraced(function* (reference) {
      return (yield* database.blobs.adopt(yield* now, [reference])).has(reference.digest)
    }, Effect.orDie),
    drop: (reference) => Effect.orDie(database.blobs.unreference([reference])),
    sweep: Effect.fnUntraced(function* (options) {
      const report = yield* sweep.once(options)
      const scene = { report: timeless(report), rows: yield* rows, objects: yield* objects }
      scenes.push(scene)
      assert.deepStrictEqual(yield* Effect.orDie(Facts.invariants(factsOf(scene.rows), storage)), [])
      return report
    }),
    rows,
    objects
  }
  return stage
})

/** A report without what no two backends agree on. */
const timeless = (report: SweepReport): SweepReport => {
  const phase = (name: keyof SweepReport["phases"]): PhaseReport => ({
    ...report.phases[name],
    durationMillis: 0
  })
  const phases = Object.fromEntries(phaseNames.map((name) => [name, phase(name)]))
  return { ...report, durationMillis: 0, store: null, phases: phases as SweepReport["phases"] }
}

const factsOf = (rows: Rows): Facts.Rows => ({
  blobs: new Map(rows.blobs.map((row) => [row.digest, row])),
  references: new Map(rows.references.map((reference) => [referenceId(reference), reference])),
  journal: new Map(rows.journal.map((row) => [row.key, row])),
  intents: new Map(rows.intents.map((row) => [row.key, row])),
  sessions: new Map(rows.sessions.map((row) => [row.id, row])),
  chunks: new Map(rows.chunks.map((row) => [row.key, row]))
})
