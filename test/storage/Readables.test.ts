import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Stream } from "effect"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import * as Memory from "../../src/storage/Memory.ts"
import { openingOf } from "../../src/storage/Readables.ts"
import * as S3 from "../../src/storage/S3.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { inTemporary } from "../fixtures/storage/Directories.ts"

const bucket = S3.layer({
  bucket: "bucket",
  region: "us-east-1",
  endpoint: "http://127.0.0.1:1",
  credentials: { accessKeyId: Redacted.make("id"), secretAccessKey: Redacted.make("secret") }
})

describe("the Node form", () => {
  it.live.each([
    ["memory", Memory.layer],
    ["files", inTemporary(false)],
    ["S3", bucket]
  ] as const)("is attached to what the store on %s returns, and to nothing made of it", ([, layer]) =>
    Effect.gen(function* () {
      const { get } = yield* Storage
      const bytes = get(ObjectKey.make("a"))
      assert.isNotNull(openingOf(bytes))
      assert.isNull(openingOf(Stream.map(bytes, (chunk) => chunk)))
    }).pipe(Effect.provide(layer))
  )
})
