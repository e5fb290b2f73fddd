import { assert, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { layer } from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { storageContract } from "./contract.ts"

storageContract("memory", layer)

it.effect("dates objects by the Clock", () =>
  Effect.gen(function* () {
    const storage = yield* Storage
    const key = ObjectKey.make("a")
    yield* TestClock.setTime(1_700_000_000_123)
    yield* storage.put(key, Stream.empty, 0)
    yield* TestClock.adjust("1 hour")
    assert.strictEqual(Option.getOrThrow(yield* storage.head(key)).modifiedAt, 1_700_000_000_123)
  }).pipe(Effect.provide(layer))
)
