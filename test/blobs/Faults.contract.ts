/**
 * The faults of a writer. After each, every referenced blob has its bytes. Once all clients have ended, and
 * leases and pins too, nothing is left.
 */

import { assert } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import { referenceId } from "../../src/artifacts/Artifacts.ts"
import { KeyNonce } from "../../src/domain/ObjectKey.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Facts from "../../src/testing/Facts.ts"
import * as FaultyStorage from "../../src/testing/FaultyStorage.ts"
import { artifact, bytesOf, digestOf } from "../fixtures/BlobStores.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { Database } from "../fixtures/Database.ts"
import { type FaultStory, type FaultTable, type Rule, reapsBefore } from "../fixtures/FaultTable.ts"
import { BlobStore } from "../fixtures/Referring.ts"
import { Tables } from "../fixtures/Tables.ts"
import { killedWhen, settle, start } from "../fixtures/World.ts"

/** What a story is played on. */
interface Stage {
  /** The writer whose calls are struck. */
  readonly blobs: BlobStore["Service"]
  /** The same catalogue and store without faults. */
  readonly database: Database["Service"]
  readonly store: Storage["Service"]
  readonly sweep: Effect.Effect<void>
  /** Sets the rule for the writer's next calls. */
  readonly rule: (rule: Rule) => void
}

interface Story extends FaultStory {
  /** What happens before. */
  readonly before?: (stage: Stage) => Effect.Effect<unknown, unknown>
  /** What happens to the writer's calls without a fault of the table. */
  readonly own?: (stage: Stage) => Rule
  /** What the writer does. */
  readonly act: (stage: Stage) => Effect.Effect<unknown, unknown>
}

const body = Stream.make(bytesOf("o"), bytesOf("ne"))
const one = { references: [artifact("one", "one")], sizeBytes: 3 }

const store = (stage: Stage, content: string, millis: number) =>
  Effect.map(stage.blobs.put(Stream.make(bytesOf(content)), { pin: millis }), ({ pin }) => pin ?? "")

const stories: ReadonlyArray<Story> = [
  {
    name: "put of bytes without a declared digest",
    act: ({ blobs }) => blobs.put(body, one),
    calls: ["blobs.intend", "put", "blobs.publish"]
  },
  {
    name: "put of bytes without a declared digest, whose blob is live",
    before: (stage) => store(stage, "one", 1000),
    act: ({ blobs }) => blobs.put(body, one),
    calls: ["blobs.intend", "put", "blobs.publish"]
  },
  {
    name: "put of a declared digest, pinned",
    act: ({ blobs }) => blobs.put(body, { digest: digestOf("one"), pin: "1 hour" }),
    calls: ["blobs.locate", "blobs.intend", "put", "blobs.publish"]
  },
  {
    name: "put of a declared digest whose blob is condemned",
    before: Effect.fnUntraced(function* (stage) {
      yield* store(stage, "one", 1000)
      for (let n = 0; n < 2; n++) {
        yield* TestClock.adjust("61 minutes")
        yield* stage.sweep
      }
    }),
    act: ({ blobs }) => blobs.put(Stream.die("the body was read"), { ...one, digest: digestOf("one") }),
    calls: ["blobs.locate", "blobs.adopt"]
  },
  {
    name: "put that is reaped before it is published",
    own: (stage) => reapsBefore("blobs.publish", "reaped", stage),
    act: ({ blobs }) => blobs.put(body, one),
    calls: ["blobs.intend", "put", "blobs.publish", "blobs.locate", "copy", "blobs.discard"]
  },
  {
    name: "put that is reaped and whose object is deleted before it is published",
    own: (stage) => reapsBefore("blobs.publish", "deleted", stage),
    act: ({ blobs }) => blobs.put(body, { ...one, replayable: true }),
    calls: ["blobs.intend", "put", "blobs.publish", "blobs.locate", "copy"]
  },
  {
    name: "putAll of several",
    before: (stage) => store(stage, "one", 1000),
    act: ({ blobs }) =>
      blobs.putAll(
        ["one", "two", "three"].map((content) => ({
          digest: digestOf(content),
          sizeBytes: content.length,
          body: Stream.make(bytesOf(content)),
          references: [artifact(content, content)] as const
        }))
      ),
    calls: ["blobs.adopt", "blobs.intend", "put", "blobs.publish"]
  },
  {
    name: "reference that releases pins",
    before: (stage) =>
      Effect.gen(function* () {
        const release = [yield* store(stage, "one", 86_400_000), yield* store(stage, "two", 86_400_000)]
        yield* stage.blobs.reference([artifact("three", "one")], { release: [] })
        pinsOf.set(stage, release)
      }),
    act: (stage) =>
      stage.blobs.reference([artifact("one", "one"), artifact("two", "two")], {
        release: pinsOf.get(stage) ?? []
      }),
    calls: ["blobs.adopt"]
  },
  {
    name: "pin and unpin",
    before: (stage) => store(stage, "one", 1000),
    act: ({ blobs }) =>
      Effect.flatMap(blobs.pin(digestOf("one"), "1 hour"), (pin) => blobs.unpin(Option.toArray(pin))),
    calls: ["blobs.adopt", "blobs.unpin"]
  }
]

/** Pins that were made before a story. */
const pinsOf = new WeakMap<Stage, ReadonlyArray<string>>()

const setUp = Effect.gen(function* () {
  const [database, store, tables] = [yield* Database, yield* Storage, yield* Tables]
  const scripts = { database: AllDatabases.script(), storage: FaultyStorage.script() }
  const faulty = Layer.merge(
    AllDatabases.faulty(scripts.database),
    FaultyStorage.layer(scripts.storage)
  ).pipe(Layer.provide([AllDatabases.all(database), Layer.succeed(Storage, store)]))
  let nonce = 0
  const blobs = Context.get(yield* Layer.build(Layer.provide(BlobStore.layer(), faulty)), BlobStore)
  // Only two waits: a blob that one sweep condemns is deleted by a sweep an hour later.
  const sweeping = Context.get(
    yield* Layer.build(
      Layer.provide(Sweep.layerUnchecked(), [AllDatabases.all(database), Layer.succeed(Storage, store)])
    ),
    Sweep
  )
  const stage: Stage = {
    blobs,
    database,
    store,
    sweep: Effect.asVoid(sweeping.once()),
    rule: (rule) => {
      scripts.database.always(rule)
      scripts.storage.always(rule)
    }
  }
  const rows = Effect.map(tables.rows, (found): Facts.Rows => {
    const { blobs, references, journal, intents, sessions, chunks } = found
    return {
      blobs: new Map(blobs.map((row) => [row.digest, row])),
      references: new Map(references.map((reference) => [referenceId(reference), reference])),
      journal: new Map(journal.map((row) => [row.key, row])),
      intents: new Map(intents.map((row) => [row.key, row])),
      sessions: new Map(sessions.map((row) => [row.id, row])),
      chunks: new Map(chunks.map((row) => [row.key, row]))
    }
  })
  const sound = Effect.flatMap(rows, (found) =>
    Effect.map(Facts.invariants(found, store), (broken) => assert.deepStrictEqual(broken, []))
  )
  const nonces = Effect.provideService(KeyNonce, () => `n${++nonce}`)
  return { stage, tables, rows, sound, nonces }
})

const play: FaultTable<Story>["play"] = Effect.fnUntraced(function* (story, strike) {
  yield* TestClock.setTime(start)
  const { stage, tables, rows, sound, nonces } = yield* setUp
  yield* nonces(story.before?.(stage) ?? Effect.void)
  stage.rule(strike.rule(story.own?.(stage)))
  const exit = yield* Effect.exit(killedWhen(nonces(story.act(stage)), strike.died))
  stage.rule(() => undefined)
  yield* sound
  const isDone = Exit.isSuccess(exit) && Result.isSuccess(exit.value)
  if (strike.isFaultless) assert.isTrue(isDone, `without faults: ${exit}`)
  yield* settle
  for (let n = 0; n < 2; n++) {
    yield* TestClock.adjust("25 hours")
    yield* settle
    yield* stage.sweep
    yield* sound
  }
  const { references } = yield* tables.rows
  for (const { digest } of references) {
    const chunks = yield* Stream.runCollect(stage.blobs.open(digest))
    assert.isAbove(Buffer.concat(chunks).length, 0)
  }
  if (isDone && !story.name.startsWith("pin") && !story.name.includes("pinned")) {
    assert.isAbove(references.length, 0, "an acknowledged reference exists")
  }
  if (story.name.startsWith("reference")) assert.include([1, 3], references.length, "all or none")
  yield* stage.blobs.unreference(references)
  for (let n = 0; n < 4; n++) {
    yield* TestClock.adjust("25 hours")
    yield* stage.sweep
  }
  assert.deepStrictEqual(yield* Facts.objects(stage.store), [])
  const left = yield* rows
  assert.deepStrictEqual(
    [left.blobs.size, left.references.size, left.journal.size, left.intents.size],
    [0, 0, 0, 0]
  )
  assert.deepStrictEqual((yield* tables.rows).pins, [])
})

/** The faults of a writer. */
export const writerFaults: FaultTable<Story> = {
  subject: "a writer",
  promise: "loses nothing and leaks nothing",
  stories,
  play
}
