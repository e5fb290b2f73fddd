/** One catalogue and one store in memory, and processes that reach them only through the gate. */

import { createHash } from "node:crypto"
import { Clock, Context, Duration, Effect, type Exit, Layer, References } from "effect"
import { Random } from "effect/Random"
import { Scheduler } from "effect/Scheduler"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { Database } from "../../../src/database/Database.ts"
import * as MemoryDatabase from "../../../src/database/Memory.ts"
import { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { type Digest, fromSha256Hex } from "../../../src/domain/Digest.ts"
import { KeyNonce } from "../../../src/domain/ObjectKey.ts"
import { StorageError } from "../../../src/domain/StorageError.ts"
import { registryPhases } from "../../../src/oci/RegistryPhases.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as Faults from "../../../src/testing/Faults.ts"
import * as FaultyDatabase from "../../../src/testing/FaultyDatabase.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import * as Gate from "./Gate.ts"
import * as Turns from "./ManualScheduler.ts"
import * as Oracle from "./Oracle.ts"
import type { Plan } from "./Plan.ts"
import type { Dice } from "./Rng.ts"
import * as Store from "./Store.ts"
import * as Time from "./Time.ts"

/** Content that writers upload; its name is for people. */
export interface Content {
  readonly name: string
  readonly digest: Digest
  readonly bytes: Uint8Array
}

export const contents: ReadonlyArray<Content> = ["a", "bb", "ccc", "dddd"].map((text) => ({
  name: text.slice(0, 1),
  digest: fromSha256Hex(createHash("sha256").update(text).digest("hex")),
  bytes: Buffer.from(text)
}))

const bytesByDigest = new Map(contents.map(({ digest, bytes }) => [digest, bytes]))

/** What a process has to work with. */
export type Services = Sweep | BlobStore | Database | Storage

/** A change to the code under test, to see that the simulation notices. */
export interface Tampering {
  /** Replaces what a request does, within its one step. */
  readonly rows?: (
    rows: Database["Service"],
    state: MemoryDatabase.State,
    objects: MemoryStorage.State["objects"]
  ) => Database["Service"]
  /** Replaces what a process asks for; each request of it is a step of its own. */
  readonly services?: (services: Reached, state: MemoryDatabase.State) => Omit<Reached, "step">
  readonly nonce?: () => string
  readonly settings?: Partial<SweepSettings>
}

/** The database and the store as a process reaches them, and any other request it might make. */
export interface Reached {
  readonly database: Database["Service"]
  readonly storage: Storage["Service"]
  readonly step: <A>(
    verb: string,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, DatabaseError>
  ) => Effect.Effect<A, DatabaseError>
}

export interface World {
  readonly dice: Dice
  readonly plan: Plan
  readonly time: Time.Time
  readonly turns: Turns.Turns
  readonly gate: Gate.Gate
  readonly oracle: Oracle.Oracle
  readonly rows: MemoryDatabase.State
  readonly store: MemoryStorage.State
  /** Keys whose part of the delete under way fails, with the store's code. */
  readonly refused: Map<string, string>
  /** How often what happened. */
  readonly counts: Record<string, number>
  readonly count: (what: string, times?: number) => void
  /** The services of a process, which lives in this world. */
  readonly services: (process: Gate.Process) => Context.Context<Services>
}

/** By this the causes of failures are told from those the code makes itself. */
export const simulated = "scripted fault"

export const make = (dice: Dice, plan: Plan, tampering: Tampering): World => {
  const time = Time.make()
  const turns = Turns.make()
  const rows = MemoryDatabase.emptyState()
  rows.watched = plan.watched
  const store = MemoryStorage.emptyState()
  const counts: Record<string, number> = {}
  const count = (what: string, times = 1) => {
    counts[what] = (counts[what] ?? 0) + times
  }
  const oracle = Oracle.make({
    rows,
    store,
    time,
    plan,
    bytesOf: (digest) => bytesByDigest.get(digest)
  })

  let nonces = 0
  const nonce = tampering.nonce ?? (() => `n${++nonces}`)
  const common = Context.make(Scheduler, turns).pipe(
    Context.add(Random, {
      nextDoubleUnsafe: dice.next,
      nextIntUnsafe: () => dice.below(Number.MAX_SAFE_INTEGER)
    }),
    Context.add(KeyNonce, nonce),
    Context.add(References.MinimumLogLevel, "None"),
    Context.add(References.TracerEnabled, false)
  )
  // The store and the database date what they write by the world's time.
  const servers = Context.add(
    common,
    Clock.Clock,
    time.clock({}, () => 0)
  )
  const perform = Effect.runSyncExitWith(servers)
  const gate = Gate.make({
    perform: (effect) => perform(effect),
    performed: (call, exit) => {
      tally(count, call.verb, exit)
      oracle.performed(call, exit)
    },
    sent: () => dice.chance(0.5)
  })

  const backends = perform(
    Effect.provide(Effect.all([Database, Storage]), [
      MemoryDatabase.layer(rows),
      MemoryStorage.layerOf(store)
    ])
  )
  if (backends._tag === "Failure") throw new Error("the memory layers cannot be built")
  const [database, storage] = backends.value
  const tampered = tampering.rows?.(database, rows, store.objects) ?? database
  const databaseScript = Faults.make<FaultyDatabase.Verb, DatabaseError["reason"]>()
  const storageScript = FaultyStorage.script()

  let uploads = 0
  const timedOut = new StorageError({
    operation: "probe",
    subject: "the store",
    reason: "TimedOut",
    detail: simulated
  })

  /** The requests of one process. */
  const reach = (process: Gate.Process): Reached => {
    const off = Effect.sync(() => -process.aheadMillis)
    const viaGate = FaultyDatabase.wrap(
      { ...tampered, skew: off },
      {
        ...databaseScript,
        run: (verb, args, effect, failure) => gate.pass(process, verb, args, effect, failure("Unavailable"))
      }
    )
    const stored = FaultyStorage.wrap(
      { ...storage, skew: Effect.asSome(off) },
      {
        ...storageScript,
        run: (verb, args, effect, failure) => gate.pass(process, verb, args, effect, failure("TimedOut"))
      }
    )
    return {
      database: viaGate,
      storage: Store.make({
        inner: stored,
        raw: storage,
        state: store,
        request: (verb, args, effect) => gate.pass(process, verb, args, effect, timedOut),
        uploadId: () => `u${++uploads}`
      }),
      step: <A>(verb: string, args: ReadonlyArray<unknown>, effect: Effect.Effect<A, DatabaseError>) =>
        gate.pass(
          process,
          verb,
          args,
          effect,
          new DatabaseError({ operation: verb, reason: "Unavailable", detail: simulated })
        )
    }
  }

  return {
    dice,
    plan,
    time,
    turns,
    gate,
    oracle,
    rows,
    store,
    refused: storageScript.refused,
    counts,
    count,
    services: (process) => {
      const reached = reach(process)
      const { database, storage } = tampering.services?.(reached, rows) ?? reached
      const settings = { ...plan.settings, collectorId: process.name, ...tampering.settings }
      const layer = Layer.provideMerge(
        Layer.mergeAll(
          Sweep.layer(settings, registryPhases),
          BlobStore.layer({ uploadLease: plan.uploadLease, pin: Duration.minutes(1) })
        ),
        Layer.mergeAll(Layer.succeed(Database, database), Layer.succeed(Storage, storage))
      )
      const built = perform(Effect.scoped(Layer.build(layer)))
      if (built._tag === "Failure") throw new Error("the services cannot be built")
      const clock = time.clock(process, () => process.aheadMillis)
      return Context.mergeAll(common, built.value, Context.make(Clock.Clock, clock))
    }
  }
}

/** How much of what the simulation is for came to pass. */
const tally = (count: World["count"], verb: string, exit: Exit.Exit<unknown, unknown>): void => {
  if (exit._tag === "Failure") return
  const value = exit.value as never
  if (verb === "blobs.publish") {
    for (const outcome of value as ReadonlyArray<string>) count(`publish: ${outcome}`)
  } else if (verb === "orphans.find") {
    if ((value as ReadonlyArray<unknown>).length > 0) count("slices with orphans")
  } else if (verb === "orphans.purge") {
    const page = value as { readonly purged: ReadonlyArray<unknown>; readonly absolved: number }
    count("purged", page.purged.length)
    count("saved by the look under lock", page.absolved)
  } else if (verb === "journal.reapIntents") {
    count("intents reaped", value)
  } else if (verb === "leftovers.journal") {
    count("leftovers journaled", (value as ReadonlyArray<unknown>).length)
  } else if (verb === "breakers.trip") {
    count("breaker tripped")
  } else if (verb === "blobs.expirePins") {
    count("pins expired", value)
  } else if (verb === "complete parts") {
    count("uploads in parts completed")
  } else if (verb === "abort") {
    count("uploads in parts aborted")
  } else if (verb === "copy") {
    count("reaped uploads copied")
  } else if (verb === "delete") {
    count("objects deleted", (value as { readonly deleted: ReadonlyArray<unknown> }).deleted.length)
  }
}
