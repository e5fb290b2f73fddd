/**
 * A store with scripted faults around any other store.
 *
 * ```ts
 * const script = FaultyStorage.script()
 * const store = FaultyStorage.layer(script).pipe(Layer.provide(MemoryStorage.layer))
 * script.next("delete", lands("TimedOut", "10 seconds")) // no answer, and yet deleted ten seconds later
 * script.next("list", fails("Unavailable"), Infinity) // an outage, until script.heal()
 * script.refused.set(key, "AccessDenied") // this key's part of every delete fails
 * ```
 */
import { Effect, Layer, Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError, type StorageFailure } from "../domain/StorageError.ts"
import { Storage } from "../storage/Storage.ts"
import { type Fault, make, type Script } from "./Faults.ts"

export type Operation = StorageError["operation"]
export type StorageFault = Fault<StorageFailure>

/** A listing is one call a page; the arguments of a `put` leave out its body. */
export interface StorageScript extends Script<Operation, StorageFailure> {
  /** Keys that no delete gets rid of, with the code the store gives. Remove one, and it can be deleted again. */
  readonly refused: Map<ObjectKey, string>
}

/** A script without faults. */
export const script = (): StorageScript => ({ ...make<Operation, StorageFailure>(), refused: new Map() })

/** The store below, as the script has it. */
export const layer = (script: StorageScript): Layer.Layer<Storage, never, Storage> =>
  Layer.effect(
    Storage,
    Effect.map(Storage, (inner) => wrap(inner, script))
  )

const wrap = (inner: Storage["Service"], script: StorageScript): Storage["Service"] => {
  const run = <A, R, E>(
    operation: Operation,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, StorageError | E, R>
  ) => script.run(operation, args, effect, (reason) => scripted(operation, String(args[0] ?? ""), reason))

  return Storage.of({
    description: `${inner.description}, with scripted faults`,
    probe: run("probe", [], inner.probe),
    list: (prefix, options) => {
      const args = [prefix, options]
      const pages = Stream.unwrap(
        run(
          "list",
          args,
          Effect.sync(() => inner.list(prefix, options))
        )
      )
      return Stream.mapEffect(pages, (page, index) =>
        index === 0 ? Effect.succeed(page) : run("list", args, Effect.succeed(page))
      )
    },
    delete: (keys) => run("delete", [keys], deleteUnrefused(inner, script.refused, keys)),
    put: (key, body, sizeBytes) => run("put", [key, sizeBytes], inner.put(key, body, sizeBytes)),
    get: (key, range) =>
      Stream.unwrap(
        run(
          "get",
          [key, range],
          Effect.sync(() => inner.get(key, range))
        )
      ),
    head: (key) => run("head", [key], inner.head(key))
  })
}

const deleteUnrefused = Effect.fnUntraced(function* (
  inner: Storage["Service"],
  refused: ReadonlyMap<ObjectKey, string>,
  keys: ReadonlyArray<ObjectKey>
) {
  const outcome = yield* inner.delete(keys.filter((key) => !refused.has(key)))
  const failed = keys.flatMap((key) => {
    const code = refused.get(key)
    return code === undefined ? [] : [{ key, code, detail: "scripted fault" }]
  })
  return { deleted: outcome.deleted, failed: [...outcome.failed, ...failed] }
})

const scripted = (operation: Operation, subject: string, reason: StorageFailure): StorageError =>
  new StorageError({ operation, subject, reason, detail: "scripted fault" })
