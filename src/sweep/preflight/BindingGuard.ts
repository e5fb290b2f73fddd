/**
 * The binding guard. The collector's tables belong to one catalogue, one store and one database: its marks name blobs of
 * that catalogue, and its journal names keys of that store. The first sweep binds them, and each later one compares.
 */
import { Effect, Random } from "effect"
import { type BindingState, type Bound, CollectorDatabase, type Identity } from "../../database/Database.ts"
import { BindingRefused } from "../../domain/Refusals.ts"
import { Storage } from "../../storage/Storage.ts"
import type { SweepSettings } from "../Settings.ts"
import type { GuardContext } from "./Guard.ts"

/** Binds the tables in the first sweep. Fails with `BindingRefused` if they belong to another place. */
export const bindingGuard = Effect.fnUntraced(function* ({
  dryRun,
  id,
  memory,
  now,
  settings
}: GuardContext) {
  const { binding, peers } = yield* CollectorDatabase
  let state = yield* binding.read
  const ours = yield* identityOf(settings, state)
  if (state.bound === null && !dryRun) {
    yield* binding.bind(now, yield* drawId, ours, state.here)
    state = yield* binding.read
  }
  memory.binding = state
  const refusal = state.bound === null ? null : refusalOf(state.bound, ours, state)
  if (refusal === null) return []
  // Its registration would make the rebinding wait.
  if (!dryRun) yield* peers.leave(id)
  return yield* refusal
})

/**
 * Binds the tables unless they are bound, and fails with `BindingRefused` if they belong to another place: for a registry, which
 * may write objects before the first sweep. A replica with other prefixes would write objects that no collector lists.
 */
export const bindOrRequire = Effect.fnUntraced(function* (
  now: number,
  settings: Pick<SweepSettings, "blobPrefix" | "uploadPrefix">
) {
  const { binding } = yield* CollectorDatabase
  const state = yield* binding.read
  if (state.bound === null)
    yield* binding.bind(now, yield* drawId, yield* identityOf(settings, state), state.here)
  yield* requireBound(settings)
})

/** Fails with `BindingRefused` if the tables belong to another place. Binds nothing: for commands that write. */
export const requireBound = Effect.fnUntraced(function* (
  settings: Pick<SweepSettings, "blobPrefix" | "uploadPrefix">
) {
  const { binding } = yield* CollectorDatabase
  const state = yield* binding.read
  const refusal =
    state.bound === null ? null : refusalOf(state.bound, yield* identityOf(settings, state), state)
  if (refusal !== null) return yield* refusal
})

/** Returns what the tables are bound to, or would be: the catalogue, the store and its prefixes. */
export const identityOf = (
  { blobPrefix, uploadPrefix }: Pick<SweepSettings, "blobPrefix" | "uploadPrefix">,
  { catalogue }: BindingState
): Effect.Effect<Identity, never, Storage> =>
  Effect.map(Storage, ({ identity }) => ({
    ...catalogue,
    ...identity,
    GC_BLOB_PREFIX: blobPrefix,
    GC_UPLOAD_PREFIX: uploadPrefix
  }))

/** Returns a line for each difference. Compares only names that both sides know: a newer version may have more. */
export const differencesOf = (
  { identity, server }: Bound,
  ours: Identity,
  { here }: BindingState
): ReadonlyArray<string> => [
  ...Object.entries(ours).flatMap(([name, value]) => {
    const other = identity[name]
    return other === undefined || other === value ? [] : [`${name}: ${value} here, ${other} bound`]
  }),
  ...(server === null || here.server === null || server === here.server
    ? []
    : [
        `database: server and OID ${here.server} here, ${server} bound. This is a copy or a restored dump; if the original still works on this store, each would delete the other's objects`
      ])
]

const refusalOf = (bound: Bound, ours: Identity, state: BindingState): BindingRefused | null => {
  const differences = differencesOf(bound, ours, state)
  return differences.length === 0
    ? null
    : new BindingRefused({ boundAt: new Date(bound.boundAt).toISOString(), differences })
}

const drawId = Effect.map(
  Effect.all(Array.from({ length: 4 }, () => Random.nextIntBetween(0, 0x10000))),
  (parts) => parts.map((part) => part.toString(16).padStart(4, "0")).join("")
)
