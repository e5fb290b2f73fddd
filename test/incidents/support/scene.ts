/** A catalogue on PostgreSQL and a store in memory: collectors and writers as the product runs them, sessions by hand. */
import { Context, Duration, Effect, Layer, Stream } from "effect"
import { Database } from "../../../src/database/Database.ts"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import { artifact, digest, key } from "../../database/contract/samples.ts"
import { type Arena, arena, ownArena, type Session } from "../../database/locks/arena.ts"
import type { ConnectionOptions, Server } from "../../support/Databases.ts"

const hasty = { grace: Duration.zero, quarantine: Duration.zero, backoffBase: Duration.millis(1) }

/** The key of blob `n`'s `attempt`-th upload. */
export const keyOf = (n: number, attempt = 1): ObjectKey => key(`${n}-${attempt}`)

/** Announces, sends and publishes blob `n` as the blob store does. */
export const store = Effect.fnUntraced(function* (
  { blobs }: Database["Service"],
  objects: Storage["Service"],
  n: number,
  attempt = 1,
  reference?: string
) {
  const at = keyOf(n, attempt)
  yield* blobs.intend([{ key: at, digest: digest(n), expiresAt: Date.now() + 60_000 }])
  yield* objects.put(at, Stream.make(new Uint8Array(1)), 1)
  const references = reference === undefined ? [] : [artifact(reference, n)]
  return yield* blobs.publish(Date.now(), [{ key: at, digest: digest(n), sizeBytes: 1, references }])
})

/** `isOwn`: its schema may be changed. */
export const scene = Effect.fnUntraced(function* (server: Server, { isOwn = false } = {}) {
  const here: Arena = yield* isOwn ? ownArena(server) : arena(server)
  const bucket = MemoryStorage.emptyState()
  const faults = FaultyStorage.script()
  const plain = Context.get(yield* Layer.build(MemoryStorage.layerOf(bucket)), Storage)
  const storage = FaultyStorage.layer(faults).pipe(Layer.provide(Layer.succeed(Storage, plain)))
  /** A collector that grants no waits, in a process of its own. */
  const collector = Effect.fnUntraced(function* (options: ConnectionOptions = {}) {
    const database = Layer.succeed(Database, yield* here.process(options))
    const context = yield* Layer.build(Sweep.layer(hasty).pipe(Layer.provide([database, storage])))
    return Context.get(context, Sweep)
  })
  return {
    ...here,
    /** What the store holds. */
    objects: bucket.objects,
    storage: plain,
    faults,
    collector,
    hand: yield* here.session
  }
})

/** As a program does that knows nothing of us. */
export const refer = (session: Session, name: string, n: number) =>
  session(
    `INSERT INTO artifacts (repository, name, digest, created_at) VALUES ('library/app', $1, $2, now())`,
    [name, digest(n)]
  )
