/**
 * What every backend of `Storage` promises, as one suite. A backend that cannot keep a promise says so in its
 * options, with a reason, and is held to failing in the documented way instead.
 *
 * It runs with live services: real stores answer in their own time. What a `TestClock` governs is in each
 * backend's own tests.
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
import { reading } from "./Reading.contract.ts"
import { unknownLength } from "./UnknownLength.contract.ts"
import { writing } from "./Writing.contract.ts"

export interface ContractOptions {
  readonly refused?: ReadonlyArray<RefusedKeys>
  /** Why a listing leaves out `a/b` while there is an object `a`; the contract then expects just that. */
  readonly hidesNested?: string
  /** How long one test may take, in milliseconds; default 15,000, ten times what memory and files need. */
  readonly timeout?: number
}

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
    knowing(suite)
  })
}
