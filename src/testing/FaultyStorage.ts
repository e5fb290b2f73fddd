/**
 * A store that adds scripted faults to another store.
 *
 * ```ts
 * const script = FaultyStorage.script()
 * const store = FaultyStorage.layer(script).pipe(Layer.provide(MemoryStorage.layer))
 * script.next("delete", Faults.lands("TimedOut", "10 seconds")) // no answer, but deleted ten seconds later
 * script.next("list", Faults.fails("Unavailable"), Infinity) // an outage until script.heal()
 * script.refused.set(key, "AccessDenied") // every delete fails for this key
 * ```
 */
import { Effect, Layer, Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError, type StorageFailure } from "../domain/StorageError.ts"
import { type DeleteFailure, Storage } from "../storage/Storage.ts"
import { keyReason } from "../storage/s3/Failure.ts"
import { type Fault, make, type Script } from "./Faults.ts"

/** Names a method of `Storage`. `abort` is `abortMultipart`. */
export type Operation = StorageError["operation"] | "multiparts" | "skew" | "traits"
/** A scripted fault of a store. */
export type StorageFault = Fault<StorageFailure>

/**
 * Scripts the faults of a store. Each page of `list` and `multiparts` is a call of its own. The recorded
 * arguments of a `put` are the key and the size.
 */
export interface StorageScript extends Script<Operation, StorageFailure> {
  /**
   * Keys that cannot be deleted, each with the store's error code. The failure's reason is the one that the
   * S3 backend derives from that code. Remove a key to make its deletes succeed again.
   */
  readonly refused: Map<ObjectKey, string>
}

/** Returns a script without faults. */
export const script = (): StorageScript => ({ ...make<Operation, StorageFailure>(), refused: new Map() })

/** Provides the store below with the script's faults. */
export const layer = (script: StorageScript): Layer.Layer<Storage, never, Storage> =>
  Layer.effect(
    Storage,
    Effect.map(Storage, (inner) => wrap(inner, script))
  )

/** Returns the service `inner` with the script's faults. */
export const wrap = (inner: Storage["Service"], script: StorageScript): Storage["Service"] => {
  const run = <A, R, E>(
    operation: Operation,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, StorageError | E, R>
  ) => script.run(operation, args, effect, (reason) => scripted(operation, args, reason))

  /** Each page is a call. The first one also begins the listing. */
  const runPaged = <A>(
    operation: "list" | "multiparts",
    args: ReadonlyArray<unknown>,
    listing: () => Stream.Stream<A, StorageError>
  ) =>
    Stream.mapEffect(Stream.unwrap(run(operation, args, Effect.sync(listing))), (page, index) =>
      index === 0 ? Effect.succeed(page) : run(operation, args, Effect.succeed(page))
    )

  const { concat } = inner
  return Storage.of({
    description: `${inner.description}, with scripted faults`,
    identity: inner.identity,
    probe: run("probe", [], inner.probe),
    list: (prefix, options) => runPaged("list", [prefix, options], () => inner.list(prefix, options)),
    delete: (keys) => run("delete", [keys], deleteUnrefused(inner, script.refused, keys)),
    put: (key, body, sizeBytes, options) =>
      run("put", [key, sizeBytes], inner.put(key, body, sizeBytes, options)),
    copy: (from, to) => run("copy", [from, to], inner.copy(from, to)),
    ...(concat === undefined
      ? {}
      : {
          concat: (sources, to, options) =>
            run("copy", [sources[0]?.key ?? to, to], concat(sources, to, options))
        }),
    get: (key, range) =>
      Stream.unwrap(
        run(
          "get",
          [key, range],
          Effect.sync(() => inner.get(key, range))
        )
      ),
    head: (key) => run("head", [key], inner.head(key)),
    multiparts: (prefix) => runPaged("multiparts", [prefix], () => inner.multiparts(prefix)),
    multipartSearch: inner.multipartSearch,
    abortMultipart: (upload) => run("abort", [upload], inner.abortMultipart(upload)),
    skew: run("skew", [], inner.skew),
    traits: run("traits", [], inner.traits)
  })
}

const deleteUnrefused = Effect.fnUntraced(function* (
  inner: Storage["Service"],
  refused: ReadonlyMap<ObjectKey, string>,
  keys: ReadonlyArray<ObjectKey>
) {
  const outcome = yield* inner.delete(keys.filter((key) => !refused.has(key)))
  const failed = keys.flatMap((key): ReadonlyArray<DeleteFailure> => {
    const code = refused.get(key)
    const detail = "scripted fault"
    return code === undefined ? [] : [{ key, reason: keyReason(code, detail), code, detail }]
  })
  return { ...outcome, failed: [...outcome.failed, ...failed] }
})

const scripted = (operation: Operation, args: ReadonlyArray<unknown>, reason: StorageFailure): StorageError =>
  new StorageError({
    operation: operationOf(operation),
    subject: subjectOf(args[0]),
    reason,
    detail: "scripted fault"
  })

/** Returns the operation that an error of the method names. */
const operationOf = (operation: Operation): StorageError["operation"] => {
  if (operation === "multiparts") return "list"
  return operation === "skew" || operation === "traits" ? "probe" : operation
}

const subjectOf = (first: unknown): string =>
  typeof first === "object" && first !== null && "key" in first ? String(first.key) : String(first ?? "")
