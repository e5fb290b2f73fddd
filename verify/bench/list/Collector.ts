/** Lists with the collector's storage layer. */
import { Effect, Redacted, Stream } from "effect"
import * as S3 from "../../../src/storage/S3.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { runVariant } from "../harness/Variant.ts"
import type { Outcome, Task } from "./Task.ts"

await runVariant<Task, Outcome>(async ({ s3 }) => {
  const { bucket, region, endpoint } = s3
  const layer = S3.layer({
    bucket,
    region,
    endpoint,
    credentials: {
      accessKeyId: Redacted.make(s3.accessKeyId),
      secretAccessKey: Redacted.make(s3.secretAccessKey)
    }
  })
  const listing = Effect.gen(function* () {
    const storage = yield* Storage
    let keys = 0
    let bytes = 0
    let lastKey = ""
    yield* Stream.runForEach(storage.list("blobs/"), (page) =>
      Effect.sync(() => {
        for (const { sizeBytes } of page) bytes += sizeBytes
        keys += page.length
        lastKey = page.at(-1)?.key ?? lastKey
      })
    )
    return { keys, bytes, lastKey }
  })
  return { run: () => Effect.runPromise(Effect.provide(listing, layer)), close: async () => {} }
})
