/**
 * Two replicas of the upload service on one catalogue and one store, what a client does to them, and what must be true
 * afterwards. Every call of `either` goes to the other replica than the one before.
 */
import { createHash } from "node:crypto"
import { isDeepStrictEqual } from "node:util"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { Database, type Pin } from "../../../src/database/Database.ts"
import { referenceId } from "../../../src/database/Memory.ts"
import type { DatabaseFailure } from "../../../src/domain/DatabaseError.ts"
import { type Algorithm, type Digest, fromHex } from "../../../src/domain/Digest.ts"
import { KeyNonce } from "../../../src/domain/ObjectKey.ts"
import type { StorageFailure } from "../../../src/domain/StorageError.ts"
import {
  type FinishOptions,
  type UploadStatus,
  Uploads,
  type UploadsOptions
} from "../../../src/registry/Uploads.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as Facts from "../../../src/testing/Facts.ts"
import type { Fault } from "../../../src/testing/Faults.ts"
import * as FaultyDatabase from "../../../src/testing/FaultyDatabase.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import * as Databases from "../../support/Databases.ts"
import { type Rows as TableRows, Tables } from "../../support/Tables.ts"
import { start } from "../../sweep/support/World.ts"

export type Backend = Database | Storage | Tables

/** New at each build. */
export const memory: Layer.Layer<Backend> = Layer.merge(Databases.memory, MemoryStorage.layer)

/** Who owns which key, and what is held. */
export type Rows = Facts.Rows & { readonly pins: ReadonlyMap<string, Pin> }

/** What went between the replicas and the store. */
export interface Traffic {
  readBytes: number
  writtenBytes: number
  puts: number
  gets: number
  copies: number
}

export interface Scripts {
  readonly database: FaultyDatabase.DatabaseScript
  readonly storage: FaultyStorage.StorageScript
  /** From now on every call of the replica is asked about. */
  readonly rule: (rule: Rule) => void
}

export type AnyFault = Fault<DatabaseFailure & StorageFailure>
export type Rule = (call: { readonly operation: string }) => AnyFault | undefined

export class Stage extends Context.Service<
  Stage,
  {
    readonly replicas: readonly [Uploads["Service"], Uploads["Service"]]
    readonly either: Uploads["Service"]
    /** What becomes of each replica's calls. */
    readonly scripts: readonly [Scripts, Scripts]
    readonly traffic: Traffic
    /** Catalogue and store without faults. */
    readonly database: Database["Service"]
    readonly store: Storage["Service"]
    readonly blobs: BlobStore["Service"]
    readonly rows: Effect.Effect<Rows>
    readonly sweep: Effect.Effect<void>
  }
>()("test/registry/uploads/Stage") {}

export interface StageOptions {
  readonly uploads?: UploadsOptions
  readonly sweep?: Partial<SweepSettings>
}

/** A stage on a backend that is new at each build. */
export const stage = <E>(
  backend: Layer.Layer<Backend, E>,
  options: StageOptions = {}
): Layer.Layer<Stage, E> => Layer.effect(Stage, make(options)).pipe(Layer.provide(backend))

const make = Effect.fnUntraced(function* ({ uploads = {}, sweep = {} }: StageOptions) {
  yield* TestClock.setTime(start)
  const [database, store, tables] = [yield* Database, yield* Storage, yield* Tables]
  const traffic: Traffic = { readBytes: 0, writtenBytes: 0, puts: 0, gets: 0, copies: 0 }
  const plain = Layer.merge(Layer.succeed(Database, database), Layer.succeed(Storage, store))
  const scripts = [scripted(), scripted()] as const
  const replica = (script: Scripts) => {
    const faulty = Layer.merge(
      Layer.succeed(Database, FaultyDatabase.wrap(database, script.database)),
      Layer.succeed(Storage, FaultyStorage.wrap(counting(store, traffic), script.storage))
    )
    const own = Layer.fresh(Uploads.layer(uploads)).pipe(Layer.provide(faulty))
    return Effect.map(Layer.build(own), Context.get(Uploads))
  }
  const replicas = [yield* replica(scripts[0]), yield* replica(scripts[1])] as const
  const sweeping = Context.get(yield* Layer.build(Layer.provide(Sweep.layer(sweep), plain)), Sweep)
  const blobs = Context.get(yield* Layer.build(Layer.provide(BlobStore.layer(), plain)), BlobStore)
  return Stage.of({
    replicas,
    either: alternating(replicas),
    scripts,
    traffic,
    database,
    store,
    blobs,
    rows: Effect.map(tables.rows, toRows),
    sweep: Effect.asVoid(sweeping.once())
  })
})

const toRows = ({ blobs, chunks, intents, journal, pins, references, sessions }: TableRows): Rows => ({
  blobs: new Map(blobs.map((row) => [row.digest, row])),
  references: new Map(references.map((row) => [referenceId(row), row])),
  journal: new Map(journal.map((row) => [row.key, row])),
  intents: new Map(intents.map((row) => [row.key, row])),
  sessions: new Map(sessions.map((row) => [row.id, row])),
  chunks: new Map(chunks.map((row) => [row.key, row])),
  pins: new Map(pins.map((row) => [row.id, row]))
})

const scripted = (): Scripts => {
  const [database, storage] = [FaultyDatabase.script(), FaultyStorage.script()]
  return {
    database,
    storage,
    rule: (rule) => {
      database.always(rule)
      storage.always(rule)
    }
  }
}

const counting = (inner: Storage["Service"], traffic: Traffic): Storage["Service"] =>
  Storage.of({
    ...inner,
    put: (key, body, sizeBytes, options) => {
      traffic.puts += 1
      const counted = Stream.map(body, (bytes) => {
        traffic.writtenBytes += bytes.length
        return bytes
      })
      return inner.put(key, counted, sizeBytes, options)
    },
    copy: (from, to) => {
      traffic.copies += 1
      return inner.copy(from, to)
    },
    get: (key, range) => {
      traffic.gets += 1
      return Stream.map(inner.get(key, range), (bytes) => {
        traffic.readBytes += bytes.length
        return bytes
      })
    }
  })

const alternating = (replicas: Stage["Service"]["replicas"]): Uploads["Service"] => {
  let calls = 0
  const next = () => replicas[calls++ % 2 === 0 ? 0 : 1]
  return Uploads.of({
    start: (...args) => next().start(...args),
    append: (...args) => next().append(...args),
    status: (...args) => next().status(...args),
    finish: (...args) => next().finish(...args),
    cancel: (...args) => next().cancel(...args),
    expire: (...args) => next().expire(...args),
    whole: (...args) => next().whole(...args)
  })
}

// -- what a client has

export const repository = "library/app"

export const bytesOf = (content: string): Uint8Array => new TextEncoder().encode(content)

export const digestOf = (content: string | Uint8Array, algorithm: Algorithm = "sha256"): Digest =>
  fromHex(algorithm, createHash(algorithm).update(content).digest("hex"))

/** A body that can be had once, a few bytes at a time, like a socket. */
export const body = (content: string): Stream.Stream<Uint8Array> => {
  let runs = 0
  return Stream.suspend(() =>
    runs++ > 0
      ? Stream.die("a socket was read twice")
      : Stream.rechunk(Stream.fromIterable(content.match(/.{1,3}/gs) ?? []), 1)
  ).pipe(Stream.map(bytesOf))
}

/** A body that nobody may read. */
export const untouched: Stream.Stream<Uint8Array> = Stream.die("the body was read")

// -- what a client does, each time to the other replica

export const open = (algorithm?: Algorithm) =>
  Effect.flatMap(Stage, ({ either }) => either.start(repository, { algorithm }))

/** Sends `content` where the session ends, as the client knows it. */
export const push = ({ id, receivedBytes }: UploadStatus, content: string) =>
  Effect.flatMap(Stage, ({ either }) =>
    either.append(repository, id, body(content), { startByte: receivedBytes, sizeBytes: content.length })
  )

/** A session with these chunks. */
export const pushed = Effect.fnUntraced(function* (...chunks: ReadonlyArray<string>) {
  let status = yield* open()
  for (const chunk of chunks) status = yield* push(status, chunk)
  return status
})

/** Closes a session that should be `content`. */
export const close = <E = never, R = never>(
  { id }: UploadStatus,
  content: string,
  options: Partial<FinishOptions<E, R>> = {}
) =>
  Effect.flatMap(Stage, ({ either }) =>
    either.finish(repository, id, { digest: digestOf(content), ...options })
  )

export const status = ({ id }: UploadStatus) =>
  Effect.flatMap(Stage, ({ either }) => either.status(repository, id))

export const cancel = ({ id }: UploadStatus) =>
  Effect.flatMap(Stage, ({ either }) => either.cancel(repository, id))

// -- what is there

/** The bytes of the blob, as whoever pulls it gets them. */
export const pulled = Effect.fnUntraced(function* (content: string, algorithm?: Algorithm) {
  const { blobs } = yield* Stage
  const chunks = yield* Stream.runCollect(blobs.open(digestOf(content, algorithm)))
  return Buffer.concat(chunks).toString()
})

export const isThere = (content: string) =>
  Effect.flatMap(Stage, ({ blobs }) => Effect.map(blobs.stat(digestOf(content)), Option.isSome))

export const rows = Effect.flatMap(Stage, (found) => found.rows)

export const objects = Effect.flatMap(Stage, ({ store }) =>
  Effect.map(Facts.objects(store), (keys): ReadonlyArray<string> => keys)
)

/** No invariant is broken, and nothing is in the store that nothing knows of. */
export const sound = Effect.gen(function* () {
  const { rows, store } = yield* Stage
  assert.deepStrictEqual(yield* Facts.invariants(yield* rows, store), [])
})

/** What is in the store is known to the catalogue. Not so right after a request that outlived its announcement. */
export const known = Effect.gen(function* () {
  const { rows, store } = yield* Stage
  assert.deepStrictEqual(yield* Facts.leaks(yield* rows, store), [])
})

/** Lets `hours` pass, with a sweep at the end of each. */
export const hoursPass = Effect.fnUntraced(function* (hours: number) {
  for (let n = 0; n < hours; n++) {
    yield* TestClock.adjust("1 hour")
    yield* swept
  }
})

/** One sweep. */
export const swept = Effect.gen(function* () {
  yield* (yield* Stage).sweep
  yield* sound
}).pipe(Effect.orDie)

/**
 * Goes on until every lease, grace and hold has ended, with a reference to each of `kept` meanwhile: exactly those are
 * left, and then nothing.
 */
export const cleansUp = Effect.fnUntraced(function* (...kept: ReadonlyArray<string>) {
  const { blobs } = yield* Stage
  const references = kept.map((content) => ({
    _tag: "LocalFile" as const,
    path: `/${content.slice(0, 20)}`,
    digest: digestOf(content)
  }))
  yield* blobs.reference(references)
  yield* comesDownTo(kept)
  for (const content of kept) assert.strictEqual(yield* pulled(content), content)
  yield* blobs.unreference(references)
  yield* comesDownTo([])
})

/** Lets days pass, with a sweep each, until nothing is left but the blobs `kept`. */
const comesDownTo = Effect.fnUntraced(function* (kept: ReadonlyArray<string>) {
  const wanted = { digests: kept.map((content) => digestOf(content)).sort(), pending: [[], [], [], [], []] }
  let left: unknown
  for (let n = 0; n < 6; n++) {
    yield* TestClock.adjust("25 hours")
    yield* swept
    const { blobs: found, chunks, intents, journal, pins, sessions } = yield* rows
    left = {
      digests: [...found.keys()].sort(),
      pending: [sessions, chunks, intents, journal, pins].map((table) => [...table.keys()])
    }
    const keys = [...found.values()].map(({ key }) => key).sort()
    const isClean = isDeepStrictEqual([left, yield* objects], [wanted, keys])
    if (isClean) return
  }
  assert.deepStrictEqual(left, wanted)
  assert.deepStrictEqual(yield* objects, [...(yield* rows).blobs.values()].map(({ key }) => key).sort())
})

/** The tag of what `effect` fails with. */
export const refusal = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => error._tag)

/** What two requests at once came to: each `ok`, or the tag of its error. */
export const together = <A, B, E1 extends { readonly _tag: string }, E2 extends { readonly _tag: string }, R>(
  one: Effect.Effect<A, E1, R>,
  two: Effect.Effect<B, E2, R>
) => Effect.all([verdict(one), verdict(two)], { concurrency: 2 })

export const verdict = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: (error) => error._tag, onSuccess: () => "ok" })

/** Nonces that are the same in every run. */
export const counted = () => {
  let nonce = 0
  return Layer.succeed(KeyNonce, () => `n${++nonce}`)
}
