/** What the processes of a simulation do, for ever, and what they hold the code to. */
import { Clock, Effect, Exit, Stream } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { Database, restorePin } from "../../../src/database/Database.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import type { Process } from "./Gate.ts"
import type { Services, World } from "./World.ts"
import { bytesOf, excused, write } from "./Writers.ts"

export interface Self {
  readonly world: World
  readonly process: Process
  /** Until the simulator lets it go on. */
  readonly pause: Effect.Effect<void>
}

export type Role = "writer" | "collector" | "deleter" | "reader" | "stager" | "operator"

/** One piece of work; a process does it again and again. */
export const work: Readonly<Record<Role, (self: Self) => Effect.Effect<void, unknown, Services>>> = {
  writer: write,
  collector: (self) => collect(self),
  deleter: (self) => drop(self),
  reader: (self) => read(self),
  stager: (self) => stage(self),
  operator: (self) => operate(self)
}

/** Sweeps, as replicas do on their schedules. */
const collect = Effect.fnUntraced(function* (self: Self) {
  const sweep = yield* Sweep
  const { outcome } = yield* Effect.onInterrupt(sweep.once(), () => sweep.leave)
  self.world.count(`sweep: ${outcome}`)
})

/** Removes references, as users delete tags. */
const drop = Effect.fnUntraced(function* (self: Self) {
  const { world, process } = self
  const { dice, oracle, rows } = world
  const references = [...rows.references.values()]
  if (references.length === 0) return
  const doomed = dice.chance(0.5) ? references : [dice.pick(references)]
  oracle.asked(process, doomed)
  const exit = yield* Effect.exit(Effect.flatMap(BlobStore, (store) => store.unreference(doomed)))
  oracle.answered(process, [])
  if (Exit.isFailure(exit)) yield* excused(self, exit.cause, "removing references")
})

/** Reads what a reference that stays refers to: it must be there, byte for byte. */
const read = Effect.fnUntraced(function* (self: Self) {
  const { dice, oracle } = self.world
  const all = [...oracle.promised]
  if (all.length === 0) return
  const [id, promised] = dice.pick(all)
  const { digest } = promised.reference
  const exit = yield* Effect.exit(Effect.flatMap(BlobStore, (store) => Stream.runCollect(store.open(digest))))
  if (oracle.promised.get(id) !== promised) return
  if (Exit.isFailure(exit)) return yield* excused(self, exit.cause, `reading blob ${digest}`)
  self.world.count("blobs read back")
  const right = bytesOf(digest)
  if (right === undefined || !Buffer.concat(exit.value).equals(right))
    oracle.broken(`blob ${digest} did not read back to its bytes`)
})

/** What people do: confirm breakers, restore what is condemned, put dead letters back. */
const operate = Effect.fnUntraced(function* ({ world }: Self) {
  const { count, dice, oracle, plan, time } = world
  const { breakers, journal, orphans } = yield* Database
  const now = yield* Clock.currentTimeMillis
  const kind = dice.below(3)
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
  // It was restored before it was answered, and is kept from then on.
  const until = now + restoredMillis - 2 * plan.skewMillis
  for (const digest of restored.value)
    if (time.now() < until) oracle.pinned(restorePin(digest), digest, until)
})

/** How long what an operator restores is kept. */
const restoredMillis = 60 * 60_000

/** Leaves chunks of an upload session that may never be finished. */
const stage = Effect.fnUntraced(function* (self: Self) {
  const { dice } = self.world
  const key = ObjectKey.make(`uploads/s${dice.below(3)}/${dice.below(3)}`)
  const storage = yield* Storage
  yield* Effect.exit(storage.put(key, Stream.make(Buffer.from("chunk")), 5))
})
