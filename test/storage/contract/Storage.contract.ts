/**
 * The contract of `Storage` as one suite, for every backend. A backend that cannot keep a promise says so in
 * its options, with the reason. The suite then expects it to fail in the documented way.
 *
 * The suite runs with live services, because real stores answer in their own time. Each backend's own tests
 * cover what `TestClock` governs.
 */
import { layer as sharing } from "@effect/vitest"
import type { Layer } from "effect"
import type { Storage } from "../../../src/storage/Storage.ts"
import { oddKeys } from "../../fixtures/storage/OddKeys.ts"
import type { RefusedKeys, Suite } from "../../fixtures/storage/Workspace.ts"
import { copying } from "./Copying.contract.ts"
import { deleting } from "./Deleting.contract.ts"
import { knowing } from "./Knowing.contract.ts"
import { listing } from "./Listing.contract.ts"
import { readables } from "./Readables.contract.ts"
import { reading } from "./Reading.contract.ts"
import { unknownLength } from "./UnknownLength.contract.ts"
import { writing } from "./Writing.contract.ts"

/** The exceptions of a backend. */
export interface ContractOptions {
  /** Keys that it refuses. Default: none. */
  readonly refused?: ReadonlyArray<RefusedKeys>
  /** Why a listing omits `a/b` while an object `a` exists. If set, the suite expects that. */
  readonly hidesNested?: string
  /** The time limit of one test in milliseconds. Default 15,000, ten times what memory and files need. */
  readonly timeout?: number
}

/** Declares the contract's tests for one backend. */
export const storageContract = <E>(
  name: string,
  layer: Layer.Layer<Storage, E>,
  { hidesNested, refused = [], timeout = 15_000 }: ContractOptions = {}
): void => {
  const stored = oddKeys.filter((key) => !refused.some(({ keys }) => keys(key)))
  const isNested = (key: string) => stored.some((other) => key.startsWith(`${other}/`))
  const accepted = hidesNested === undefined ? stored : stored.filter((key) => !isNested(key))

  sharing(layer, { excludeTestServices: true, timeout: 30_000 })(`Storage on ${name}`, (it) => {
    const promise: Suite["promise"] = (name, test, factor = 1) =>
      it.effect(name, () => test, timeout * factor)
    const suite = { promise, accepted, refused, hidesNested }
    listing(suite)
    deleting(suite)
    writing(suite)
    unknownLength(suite)
    copying(suite)
    reading(suite)
    readables(suite)
    knowing(suite)
  })
}
