/**
 * The contract of `Storage`, case by case, for a store of your own. A case is a name and an Effect, so every
 * test runner can run it, and none is needed:
 *
 * ```ts
 * import { it } from "@effect/vitest"
 * for (const { effect, name, timeoutMillis } of StorageContract.cases)
 *   it.effect(name, () => Effect.provide(effect, MyStore.layer), timeoutMillis)
 * ```
 *
 * ```ts
 * import { test } from "node:test"
 * for (const { effect, name } of StorageContract.cases)
 *   test(name, () => Effect.runPromise(Effect.provide(effect, MyStore.layer)))
 * ```
 *
 * The stores of this package pass the same cases. Each case works below a prefix of its own and deletes its
 * objects, so all may share a store and run at once.
 */
import { AssertionError } from "node:assert"
import { Clock, Duration, Effect } from "effect"
import type { Storage } from "../storage/Storage.ts"
import { copying } from "./contract/storage/Copying.ts"
import { deleting } from "./contract/storage/Deleting.ts"
import { knowing } from "./contract/storage/Knowing.ts"
import { listing, type RefusedKeys } from "./contract/storage/Listing.ts"
import { oddKeys } from "./contract/storage/OddKeys.ts"
import { readables } from "./contract/storage/Readables.ts"
import { reading } from "./contract/storage/Reading.ts"
import { unknownLength } from "./contract/storage/UnknownLength.ts"
import type { Declared } from "./contract/storage/Workspace.ts"
import { writing } from "./contract/storage/Writing.ts"

export type { RefusedKeys } from "./contract/storage/Listing.ts"

/** One promise of the contract, and the steps that prove it. */
export interface Case {
  /** The promise, as a sentence whose subject is the store. */
  readonly name: string
  /**
   * Succeeds if the store keeps the promise. Otherwise it dies with what the store answered: Node's
   * `AssertionError` with both values, or the store's own error. It runs on the process's clock, also where a
   * `TestClock` is provided, because a real store answers in its own time. A case that does not end dies
   * after its time limit.
   */
  readonly effect: Effect.Effect<void, never, Storage>
  /**
   * A time limit for the test runner, in milliseconds. It is longer than the case's own, which names the
   * case.
   */
  readonly timeoutMillis: number
}

/** The exceptions of a store, each with its reason. The contract then expects the documented answer. */
export interface ContractOptions {
  /** Keys that it refuses. Default: none. No key that this package makes is among the contract's odd ones. */
  readonly refused?: ReadonlyArray<RefusedKeys> | undefined
  /** Why a listing omits `a/b` while an object `a` exists. Default: it does not. */
  readonly hidesNested?: string | undefined
  /**
   * The time limit of one case. Cases of many bytes take up to four times it. Default 15 s: ten times what
   * files need.
   */
  readonly timeLimit?: Duration.Input | undefined
}

/** Returns the cases for a store with these exceptions. */
export const casesFor = ({
  hidesNested,
  refused = [],
  timeLimit = "15 seconds"
}: ContractOptions = {}): ReadonlyArray<Case> => {
  const stored = oddKeys.filter((key) => !refused.some(({ keys }) => keys(key)))
  const isNested = (key: string) => stored.some((other) => key.startsWith(`${other}/`))
  const accepted = hidesNested === undefined ? stored : stored.filter((key) => !isNested(key))
  const declared = [
    ...listing({ accepted, refused, hidesNested }),
    ...deleting,
    ...writing,
    ...unknownLength,
    ...copying(accepted),
    ...readables,
    ...reading,
    ...knowing
  ]
  return declared.map((one) => limited(one, Duration.toMillis(Duration.fromInputUnsafe(timeLimit))))
}

/** A runner that ends a case first would not say which promise hangs. */
const runnerMillis = 5000

const limited = ({ factor, name, steps }: Declared, millis: number): Case => {
  const limit = millis * factor
  const late = () =>
    new AssertionError({ message: `the store did not end this within ${limit / 1000} s: ${name}` })
  return {
    name,
    effect: Effect.scoped(steps).pipe(
      Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.die(late()) }),
      Effect.orDie,
      Effect.asVoid,
      Effect.provideService(Clock.Clock, Clock.Clock.defaultValue())
    ),
    timeoutMillis: limit + runnerMillis
  }
}

/** The cases for a store without exceptions: it accepts every key and lists all objects. */
export const cases: ReadonlyArray<Case> = casesFor()
