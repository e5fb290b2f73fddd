/**
 * Every call that a sweep makes, to the database and to the store, fails once, or fails and takes effect, or is the
 * last thing that its process does. After each: nothing that is referenced is lost, and the next sweeps leave nothing
 * behind.
 *
 * The calls are found by recording a sweep without faults, so that a new call is in the table by itself.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import type { DatabaseFailure } from "../../src/domain/DatabaseError.ts"
import type { StorageFailure } from "../../src/domain/StorageError.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { type Fault, fails, hangsAfter, hangsBefore, lands } from "../../src/testing/Faults.ts"
import {
  abandon,
  artifact,
  beginParts,
  blobKey,
  blobs,
  bury,
  clean,
  digest,
  hour,
  journaled,
  journalRow,
  killedWhen,
  manifest,
  manifests,
  minute,
  objects,
  parts,
  push,
  session,
  sessions,
  sound,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../fixtures/World.ts"

const settings = {
  batchMax: 2,
  scanPage: 3,
  deleteConcurrency: 2,
  uploadGrace: Duration.hours(2),
  untaggedGrace: Duration.hours(2),
  leftoverEvery: Duration.hours(1),
  leftoverGrace: Duration.hours(1)
}

const purgeable = ["p1", "p2", "p3", "p4", "p5"]
const garbage = [
  ...purgeable,
  "condemnable",
  "unseen",
  "dead1",
  "dead2",
  "dead3",
  "forgotten",
  "doubtful",
  "absent",
  "untagged",
  "untagged too",
  "untagged still"
]

/** Two hours in, the next sweep has something to do in every phase and at every step. */
const scene = Effect.gen(function* () {
  const { state } = yield* World
  yield* stage("uploads/stale/1")
  yield* stage("uploads/stale/2")
  yield* stage("uploads/stale/3")
  yield* beginParts("uploads/stale/4", "of a session")
  yield* beginParts("blobs/killed/1", "of a killed writer")
  for (const id of ["idle1", "idle2", "idle3"]) yield* session(id, [1, 1])
  for (const name of ["untagged", "untagged too", "untagged still"]) yield* manifest(name)
  yield* manifest("tagged", { tags: ["v1"] })
  for (const name of [...purgeable, "saved"]) yield* upload(name)
  yield* upload("live", { references: [artifact("live", "live")] })
  yield* sweep()
  yield* TestClock.adjust(hour)
  yield* upload("condemnable")
  yield* stage("blobs/late/1")
  yield* stage("blobs/late/2")
  yield* sweep()
  yield* TestClock.adjust(hour)
  yield* upload("unseen")
  yield* stage("uploads/fresh/1")
  yield* session("busy", [1, 1])
  yield* abandon("forgotten", start + 2 * hour)
  for (const name of ["dead1", "dead2", "dead3"]) yield* bury(name)
  // What an unannounced writer inserted after such a blob had been purged, with and without its bytes.
  yield* stage(blobKey("doubtful"))
  for (const name of ["doubtful", "absent"]) {
    const now = start + 2 * hour
    state.blobs.set(digest(name), { key: blobKey(name), sizeBytes: 1, createdAt: now, lastUsedAt: now })
    state.suspects.set(digest(name), new Set([blobKey(name)]))
  }
  state.journal.set(blobKey("dead1"), { ...(yield* journalRow(blobKey("dead1"))), uploadId: "of a dead key" })
  yield* beginParts(blobKey("dead1"), "of a dead key", start + 2 * hour)
  state.references.set("theirs", artifact("theirs", "saved"))
})

type AnyFault = Fault<DatabaseFailure & StorageFailure>

/** Makes `fault` of the `index`-th call from now on, to whichever of the two services it goes. */
const strike = Effect.fnUntraced(function* (index: number, fault: AnyFault) {
  const { database, storage } = yield* World
  let calls = 0
  let struck: string | null = null
  const rule = ({ operation }: { readonly operation: string }) => {
    if (calls++ !== index) return undefined
    struck = operation
    return fault
  }
  database.always(rule)
  storage.always(rule)
  return {
    struck: () => struck,
    calls: () => calls,
    heal: Effect.sync(() => {
      database.heal()
      storage.heal()
    })
  }
})

/** The store refuses one of the dead keys once, so that putting off is among the calls. */
const refuseOnce = Effect.map(World, ({ storage }) => storage.refused.set(blobKey("dead2"), "InternalError"))

const recorded = Effect.gen(function* () {
  yield* scene
  yield* refuseOnce
  const { database, storage } = yield* World
  // The first sweep alone binds.
  database.calls.length = 0
  storage.calls.length = 0
  const none = yield* strike(-1, fails("Unavailable"))
  yield* sweep()
  return {
    count: none.calls(),
    verbs: new Set([...database.calls, ...storage.calls].map((call) => call.operation))
  }
})

/** What becomes of the struck call. `died` ends the process. */
const faults: Record<string, (died: Deferred.Deferred<void>) => AnyFault> = {
  fails: () => fails("Unavailable"),
  "times out and takes effect": () => lands("Unavailable"),
  "times out and takes effect ten minutes later": () => lands("Unavailable", "10 minutes"),
  "is not reached, because its process dies": (died) =>
    hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never)),
  "takes effect, and its process dies": (died) =>
    hangsAfter(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
}

/** Strikes one call of the sweep, then lets the world go on without faults for four hours. */
const replay = Effect.fnUntraced(function* (
  index: number,
  fault: (died: Deferred.Deferred<void>) => AnyFault,
  writes: boolean
) {
  yield* scene
  yield* refuseOnce
  const died = yield* Deferred.make<void>()
  const { struck, heal } = yield* strike(index, fault(died))
  yield* killedWhen((yield* Sweep).once(), Deferred.await(died))
  const label = `call ${index}, ${struck()}`
  yield* Effect.gen(function* () {
    assert.isNotNull(struck())
    yield* sound
    yield* heal
    const { storage } = yield* World
    storage.refused.clear()
    if (writes) {
      for (const name of garbage) yield* push(artifact(`${name} again`, name), blobKey(name, 2))
      yield* sound
    }
    yield* sweepAfter(minute)
    for (let n = 0; n < 4; n++) yield* sweepAfter(hour)

    const live = ["live", "saved", "tagged", ...(writes ? garbage : [])].sort()
    assert.deepStrictEqual(yield* blobs, live)
    const { state } = yield* World
    const owned = live.map((name) => state.blobs.get(digest(name))?.key ?? `no ${name}`)
    assert.deepStrictEqual(yield* objects, owned.sort())
    assert.deepStrictEqual(yield* journaled, [])
    assert.strictEqual(state.intents.size, 0)
    assert.deepStrictEqual([yield* sessions, yield* manifests], [[], ["tagged"]])
    assert.strictEqual(state.suspects.size, 0)
    assert.deepStrictEqual(yield* parts, [])
    yield* clean
  }).pipe(Effect.catchDefect((defect) => Effect.die(new Error(label, { cause: defect }))))
  return struck() ?? ""
})

describe("a sweep of which one call", { timeout: 120_000 }, () => {
  for (const [what, fault] of Object.entries(faults)) {
    for (const writes of [false, true]) {
      const meanwhile = writes ? "everything is pushed again" : "no writer works"
      it.effect(`${what}, while ${meanwhile}, loses nothing and leaks nothing`, () =>
        Effect.gen(function* () {
          const { count, verbs } = yield* Effect.provide(recorded, world(settings))
          assert.isAbove(count, 30)
          const struck = new Set<string>()
          for (let index = 0; index < count; index++) {
            struck.add(yield* Effect.provide(replay(index, fault, writes), world(settings)))
          }
          assert.sameMembers([...struck], [...verbs])
        })
      )
    }
  }

  it.effect("is any of those a sweep can make", () =>
    Effect.gen(function* () {
      const { verbs } = yield* Effect.provide(recorded, world(settings))
      assert.sameMembers(
        [...verbs],
        [
          "inspect",
          "control.orders",
          "references.check",
          "references.everHeld",
          "candidates.watch",
          "skew",
          "instants.ahead",
          "peers.register",
          "binding.read",
          "binding.due",
          "binding.sample",
          "binding.remember",
          "head",
          "traits",
          "breakers.read",
          "breakers.exposure",
          "breakers.history",
          "breakers.note",
          "orphans.held",
          "installation",
          "journal.expirePins",
          "backlog",
          "history.record",
          "sessions.backlog",
          "list",
          "delete",
          "sessions.expire",
          "manifests.expire",
          "manifests.redate",
          "manifests.exposure",
          "suspects.page",
          "suspects.rekey",
          "suspects.drop",
          "suspects.forget",
          "suspects.endTombstones",
          "blobs.intend",
          "copy",
          "probe",
          "orphans.claimSlice",
          "orphans.find",
          "orphans.record",
          "orphans.purge",
          "multiparts",
          "abort",
          "audit.lookup",
          "leftovers.claim",
          "leftovers.advance",
          "leftovers.journal",
          "journal.reapIntents",
          "journal.claim",
          "journal.confirm",
          "journal.postpone"
        ]
      )
    })
  )
})
