/**
 * Every call that a writer makes, to the database and to the store, fails once, or fails and takes effect, or is the
 * last thing that its process does. After each, what is referenced is there; and when everybody has gone, and leases
 * and pins have ended, nothing is left.
 *
 * The calls are found by recording each story without faults, so that a new call is in the table by itself.
 */

import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Deferred, Effect, Exit, Layer, Option, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import { referenceId } from "../../src/database/Memory.ts"
import type { DatabaseFailure } from "../../src/domain/DatabaseError.ts"
import { KeyNonce } from "../../src/domain/ObjectKey.ts"
import type { StorageFailure } from "../../src/domain/StorageError.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Facts from "../../src/testing/Facts.ts"
import { type Fault, fails, hangsAfter, hangsBefore, lands } from "../../src/testing/Faults.ts"
import * as FaultyStorage from "../../src/testing/FaultyStorage.ts"
import { artifact, bytesOf, digestOf } from "../fixtures/BlobStores.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { Database } from "../fixtures/Database.ts"
import { Tables } from "../fixtures/Tables.ts"
import { killedWhen, settle, start } from "../fixtures/World.ts"

type AnyFault = Fault<DatabaseFailure & StorageFailure>
type Rule = (call: { readonly operation: string }) => AnyFault | undefined

/** What a story is played on. */
export interface Stage {
  /** The writer whose calls suffer. */
  readonly blobs: BlobStore["Service"]
  /** The same catalogue and store without faults. */
  readonly database: Database["Service"]
  readonly store: Storage["Service"]
  readonly sweep: Effect.Effect<void>
  /** From now on each call of the writer is asked about. */
  readonly rule: (rule: Rule) => void
}

interface Story {
  readonly name: string
  /** What was there before. */
  readonly before?: (stage: Stage) => Effect.Effect<unknown, unknown>
  /** What happens to the writer by itself. */
  readonly own?: (stage: Stage) => Rule
  /** What the writer does. */
  readonly act: (stage: Stage) => Effect.Effect<unknown, unknown>
  /** Calls that the story must make, or it is not the story that it says. */
  readonly calls: ReadonlyArray<string>
}

const body = Stream.make(bytesOf("o"), bytesOf("ne"))
const one = { references: [artifact("one", "one")], sizeBytes: 3 }

const store = (stage: Stage, content: string, millis: number) =>
  Effect.map(stage.blobs.put(Stream.make(bytesOf(content)), { pin: millis }), ({ pin }) => pin ?? "")

/** Reaps whatever is announced when the writer first comes to publish; with its object, or before it is deleted. */
const reapedOnce = (stage: Stage, how: "reaped" | "deleted"): Rule => {
  let isFirst = true
  const reap: Effect.Effect<void> = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    yield* stage.database.journal.reapIntents(now + 365 * 86_400_000, now, 100)
    if (how === "deleted") yield* stage.sweep
  }).pipe(Effect.orDie)
  return ({ operation }) => {
    if (operation !== "blobs.publish" || !isFirst) return undefined
    isFirst = false
    return hangsBefore(reap)
  }
}

const stories: ReadonlyArray<Story> = [
  {
    name: "put of bytes whose digest nobody knows",
    act: ({ blobs }) => blobs.put(body, one),
    calls: ["blobs.intend", "put", "blobs.publish"]
  },
  {
    name: "put of bytes that live already, whose digest nobody knows",
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
    name: "put of a declared digest that lives and is condemned",
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
    own: (stage) => reapedOnce(stage, "reaped"),
    act: ({ blobs }) => blobs.put(body, one),
    calls: ["blobs.intend", "put", "blobs.publish", "blobs.locate", "copy", "blobs.discard"]
  },
  {
    name: "put that is reaped and whose object is deleted before it is published",
    own: (stage) => reapedOnce(stage, "deleted"),
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

/** Pins that a story's beginning took. */
const pinsOf = new WeakMap<Stage, ReadonlyArray<string>>()

type Faults = Record<string, (died: Deferred.Deferred<void>) => AnyFault>

/** What becomes of the struck call where its effect is what matters. `died` ends the process. */
export const effectiveFaults: Faults = {
  "times out and takes effect": () => lands("Unavailable"),
  "takes effect, and its process dies": (died) =>
    hangsAfter(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
}

/** For stores and databases on the virtual clock. */
export const allFaults: Faults = {
  ...effectiveFaults,
  fails: () => fails("Unavailable"),
  "times out and takes effect ten minutes later": () => lands("Unavailable", "10 minutes"),
  "is not reached, because its process dies": (died) =>
    hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
}

type Backend<E> = Layer.Layer<Database | AllDatabases.Databases | Tables | Storage, E>

const setUp = Effect.gen(function* () {
  const [database, store, tables] = [yield* Database, yield* Storage, yield* Tables]
  const scripts = { database: AllDatabases.script(), storage: FaultyStorage.script() }
  const faulty = Layer.merge(
    AllDatabases.faulty(scripts.database),
    FaultyStorage.layer(scripts.storage)
  ).pipe(Layer.provide([AllDatabases.all(database), Layer.succeed(Storage, store)]))
  let nonce = 0
  const blobs = Context.get(yield* Layer.build(Layer.provide(BlobStore.layer(), faulty)), BlobStore)
  // Two waits and no more, so that what is condemned in one sweep goes in the one after the next hour.
  const sweeping = Context.get(
    yield* Layer.build(
      Layer.provide(Sweep.layer(), [AllDatabases.all(database), Layer.succeed(Storage, store)])
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

/** Plays `story` with a fault in its `index`-th call; the operations that were called. */
const play = Effect.fnUntraced(function* (
  story: Story,
  index: number,
  fault: (died: Deferred.Deferred<void>) => AnyFault
) {
  yield* TestClock.setTime(start)
  const { stage, tables, rows, sound, nonces } = yield* setUp
  const died = yield* Deferred.make<void>()
  yield* nonces(story.before?.(stage) ?? Effect.void)
  const own = story.own?.(stage) ?? (() => undefined)
  const calls: Array<string> = []
  stage.rule((call) => {
    calls.push(call.operation)
    return calls.length - 1 === index ? fault(died) : own(call)
  })
  const exit = yield* Effect.exit(killedWhen(nonces(story.act(stage)), Deferred.await(died)))
  stage.rule(() => undefined)
  const label = `${story.name}, call ${index}: ${calls[index]}`
  yield* Effect.gen(function* () {
    yield* sound
    const isDone = Exit.isSuccess(exit) && Result.isSuccess(exit.value)
    if (index < 0) assert.isTrue(isDone, `without faults: ${exit}`)
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
      assert.isAbove(references.length, 0, "what was acknowledged is there")
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
  }).pipe(Effect.catchDefect((defect) => Effect.die(new Error(label, { cause: defect }))))
  return calls
})

/** Registers the table for one backend. */
export const faultTable = <E>(name: string, backend: Backend<E>, table: Faults, timeout = 60_000): void => {
  describe(`on ${name}, a writer of which one call`, () => {
    for (const [what, fault] of Object.entries(table)) {
      for (const story of stories) {
        it.effect(
          `${what} loses nothing and leaks nothing: ${story.name}`,
          () =>
            Effect.gen(function* () {
              const played = (index: number) =>
                play(story, index, fault).pipe(Effect.provide(backend), Effect.scoped)
              const calls = yield* played(-1)
              for (const call of story.calls) assert.include(calls, call)
              for (let index = 0; index < calls.length; index++) yield* played(index)
            }),
          timeout
        )
      }
    }
  })
}
