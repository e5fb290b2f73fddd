/** The work of a simulation's processes, and what each process requires of the code. */

import { Clock, Effect, Exit, Stream } from "effect"
import { referencesOf } from "../../../src/artifacts/Artifacts.ts"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { CollectorDatabase, restorePin } from "../../../src/database/Database.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import type * as Simulated from "../../../src/testing/simulation/Simulation.ts"
import type { Actor } from "./Actor.ts"
import { checkFailure } from "./Actor.ts"
import { bytesOf } from "./Contents.ts"
import { writeElsewhere } from "./External.ts"
import { host } from "./Hosts.ts"
import type { Role, WorldParameters } from "./Parameters.ts"
import { pushOrPull, retag } from "./Pushers.ts"
import * as References from "./References.ts"
import { writeUnannounced } from "./Unannounced.ts"
import type { Services, World } from "./World.ts"
import { write } from "./Writers.ts"

/** The actors of a world, which exists once they start. */
export const actors = (
  { processes }: WorldParameters,
  made: { readonly world: World | null }
): ReadonlyArray<Simulated.Actor<Services>> =>
  Object.entries(processes).map(([name, count]) => ({
    name,
    count,
    ...(name === "unannounced" ? { pauseStepsMax: 120 } : {}),
    work: (process) => {
      const { world } = made
      if (world === null) throw new Error("a process starts before its world is made")
      const pause = world.network.pause(process)
      return work[name as Role]({ world: { ...world, rng: process.rng }, process, pause })
    }
  }))

/** One unit of work by role. A process repeats it for as long as it runs. */
const work: Readonly<Record<Role, (actor: Actor) => Effect.Effect<void, unknown, Services>>> = {
  writer: write,
  collector: (actor) => collect(actor),
  deleter: (actor) => removeReferences(actor),
  reader: (actor) => read(actor),
  stager: (actor) => stage(actor),
  operator: (actor) => operate(actor),
  host,
  pusher: pushOrPull,
  retagger: retag,
  unannounced: writeUnannounced,
  external: writeElsewhere
}

/** Sweeps, as replicas do on their schedules. */
const collect = Effect.fnUntraced(function* (actor: Actor) {
  const sweep = yield* Sweep
  const { outcome } = yield* Effect.onInterrupt(sweep.once(), () => sweep.leave)
  actor.world.count(`sweep: ${outcome}`)
})

/** Removes references, as users delete tags. */
const removeReferences = Effect.fnUntraced(function* (actor: Actor) {
  const { world, process } = actor
  const { oracle, rng, rows } = world
  const references = referencesOf(rows)
  if (references.length === 0) return
  const removed = rng.chance(0.5) ? references : [rng.pick(references)]
  oracle.asked(process, removed)
  const exit = yield* Effect.exit(
    Effect.flatMap(References.referencesOf(actor), ({ unreference }) => unreference(removed))
  )
  oracle.answered(process, [])
  if (Exit.isFailure(exit)) yield* checkFailure(actor, exit.cause, "removing references")
})

/** Reads a referenced blob. If the reference stays, the bytes must be right. */
const read = Effect.fnUntraced(function* (actor: Actor) {
  const { oracle, rng } = actor.world
  const all = [...oracle.acknowledged]
  if (all.length === 0) return
  const [id, acknowledged] = rng.pick(all)
  const { digest } = acknowledged.reference
  const exit = yield* Effect.exit(Effect.flatMap(BlobStore, (store) => Stream.runCollect(store.open(digest))))
  if (oracle.acknowledged.get(id) !== acknowledged) return
  if (Exit.isFailure(exit)) return yield* checkFailure(actor, exit.cause, `reading blob ${digest}`)
  actor.world.count("blobs read back")
  const expected = bytesOf(digest)
  if (expected === undefined || !Buffer.concat(exit.value).equals(expected))
    oracle.report(`blob ${digest} reads back with other bytes`)
})

/** Does what operators do: confirms breakers, restores condemned blobs, retries dead letters. */
const operate = Effect.fnUntraced(function* ({ world }: Actor) {
  const { count, oracle, parameters, rng, time } = world
  const { breakers, journal, orphans } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  const kind = rng.below(3)
  if (kind === 0) return yield* Effect.ignore(breakers.confirm(now))
  if (kind === 1) return yield* Effect.ignore(journal.retry(now, "all"))
  const restored = yield* Effect.gen(function* () {
    const condemned = yield* orphans.condemned({ _tag: "All" }, null, 10)
    if (condemned.length === 0) return new Set<Digest>()
    return yield* orphans.restore(
      now,
      condemned.map(({ digest }) => digest),
      now + restoredMillis
    )
  }).pipe(Effect.exit)
  if (Exit.isFailure(restored)) return
  count("blobs restored", restored.value.size)
  // The restore was executed before its answer arrived, so the pin counts from the earlier instant.
  const until = now + restoredMillis - 2 * parameters.skewMillis
  for (const digest of restored.value)
    if (time.now() < until) oracle.pinned(restorePin(digest), digest, until)
})

/** How long a restored blob is kept. */
const restoredMillis = 60 * 60_000

/** Leaves chunks of an upload session that may never be finished. */
const stage = Effect.fnUntraced(function* (actor: Actor) {
  const { rng } = actor.world
  const key = ObjectKey.make(`uploads/0000000${rng.below(3)}-0000-4000-8000-000000000000/${rng.below(3)}`)
  const storage = yield* Storage
  yield* Effect.exit(storage.put(key, Stream.make(Buffer.from("chunk")), 5))
})
