/** Runs the exported contract of `Storage` on a backend. One store serves all cases. */
import { layer as sharing } from "@effect/vitest"
import type { Layer } from "effect"
import type { Storage } from "../../src/storage/Storage.ts"
import { type ContractOptions, casesFor } from "../../src/testing/StorageContract.ts"

/** Declares the contract's tests for one backend. */
export const storageContract = <E>(
  name: string,
  layer: Layer.Layer<Storage, E>,
  options: ContractOptions = {}
): void => {
  sharing(layer, { excludeTestServices: true, timeout: 30_000 })(`Storage on ${name}`, (it) => {
    for (const { effect, name, timeoutMillis } of casesFor(options))
      it.effect(name, () => effect, timeoutMillis)
  })
}
