/** The baseline: lists with the SDK's parser. */
import { ListObjectsV2Command } from "@aws-sdk/client-s3"
import { runVariant } from "../harness/Variant.ts"
import { client } from "../sweep/Client.ts"
import type { Outcome, Task } from "./Task.ts"

await runVariant<Task, Outcome>(async ({ s3 }) => {
  const sdk = client(s3)
  return {
    run: async () => {
      const outcome = { keys: 0, bytes: 0, lastKey: "" }
      let ContinuationToken: string | undefined
      do {
        const page = await sdk.send(
          new ListObjectsV2Command({
            Bucket: s3.bucket,
            Prefix: "blobs/",
            EncodingType: "url",
            ContinuationToken
          })
        )
        for (const { Key, Size } of page.Contents ?? []) {
          outcome.keys += 1
          outcome.bytes += Size ?? 0
          outcome.lastKey = Key ?? outcome.lastKey
        }
        ContinuationToken = page.NextContinuationToken
      } while (ContinuationToken !== undefined)
      return outcome
    },
    close: async () => sdk.destroy()
  }
})
