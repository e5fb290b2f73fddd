/** What the processes of a simulation do, for ever, and what they hold the code to. */
import { Cause, Effect, Exit, Stream } from "effect"
import type { Reference } from "../../database/Database.ts"
import { ObjectKey } from "../../domain/ObjectKey.ts"
import { BlobStore, type Upload } from "../../registry/BlobStore.ts"
import { Storage } from "../../storage/Storage.ts"
import { Sweep } from "../../sweep/Sweep.ts"
import type { Process } from "./Gate.ts"
import { type Content, contents, type Services, simulated, type World } from "./World.ts"

export interface Self {
  readonly world: World
  readonly process: Process
  /** Until the simulator lets it go on. */
  readonly pause: Effect.Effect<void>
}

export type Role = "writer" | "collector" | "deleter" | "reader" | "stager"

/** One piece of work; a process does it again and again. */
export const work: Readonly<Record<Role, (self: Self) => Effect.Effect<void, unknown, Services>>> = {
  writer: (self) => push(self),
  collector: (self) => collect(self),
  deleter: (self) => drop(self),
  reader: (self) => read(self),
  stager: (self) => stage(self)
}

/** Few, so that tags move from blob to blob and blobs lose their last reference. */
const names = ["v1", "latest"]

const someReference = ({ dice }: World, digest: Content["digest"]): Reference =>
  dice.chance(0.25)
    ? { _tag: "LocalFile", path: "/f", digest }
    : { _tag: "Artifact", repository: "r", name: dice.pick(names), digest }

const someContent = ({ dice, plan }: World): Content => dice.pick(contents.slice(0, plan.contents))

const bodyOf = ({ bytes }: Content): Stream.Stream<Uint8Array> => Stream.make(bytes)

/** Stores one or two blobs with their references. */
const push = Effect.fnUntraced(function* (self: Self) {
  const { world, process } = self
  const { dice, oracle } = world
  const upload = (): Upload<never, never> => {
    const content = someContent(world)
    const reference = () => someReference(world, content.digest)
    const references = dice.chance(0.2) ? ([reference(), reference()] as const) : ([reference()] as const)
    return { digest: content.digest, sizeBytes: content.bytes.length, body: bodyOf(content), references }
  }
  const uploads = dice.chance(0.2) ? [upload(), upload()] : [upload()]
  const references = uploads.flatMap((one) => one.references)
  oracle.asked(process, references)
  const exit = yield* Effect.exit(Effect.flatMap(BlobStore, (store) => store.putAll(uploads)))
  // Of two references of one name, either may be the last.
  const ids = references.map((reference) => JSON.stringify({ ...reference, digest: "" }))
  const unambiguous = new Set(ids).size === ids.length
  oracle.answered(process, Exit.isSuccess(exit) && unambiguous ? references : [])
  if (Exit.isFailure(exit)) yield* excused(self, exit.cause, "a push", ["UploadExpired"])
})

/** Sweeps, as replicas do on their schedules. */
const collect = Effect.fnUntraced(function* (self: Self) {
  const sweep = yield* Sweep
  const { outcome } = yield* sweep.once()
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
  if (Exit.isFailure(exit)) yield* excused(self, exit.cause, "removing references", [])
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
  if (Exit.isFailure(exit)) return yield* excused(self, exit.cause, `reading blob ${digest}`, [])
  self.world.count("blobs read back")
  const right = contents.find((content) => content.digest === digest)
  if (right === undefined || !Buffer.concat(exit.value).equals(right.bytes))
    oracle.broken(`blob ${digest} did not read back to its bytes`)
})

/** Leaves chunks of an upload session that may never be finished. */
const stage = Effect.fnUntraced(function* (self: Self) {
  const { dice } = self.world
  const key = ObjectKey.make(`uploads/s${dice.below(3)}/${dice.below(3)}`)
  const storage = yield* Storage
  yield* Effect.exit(storage.put(key, Stream.make(Buffer.from("chunk")), 5))
})

/** Failures that the simulation caused may surface; others must not, save those named. */
const excused = (self: Self, cause: Cause.Cause<unknown>, what: string, may: ReadonlyArray<string>) =>
  Effect.sync(() => {
    if (Cause.hasInterruptsOnly(cause)) return
    const error = Cause.squash(cause) as {
      readonly _tag?: string
      readonly detail?: string
      message?: string
    }
    if (error.detail === simulated) return
    if (may.includes(error._tag ?? "")) return self.world.count(error._tag ?? "")
    self.world.oracle.broken(`${what} failed, and no fault explains it: ${error.message ?? String(error)}`)
  })
