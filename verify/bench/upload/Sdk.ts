/** The floor of a push: the SDK alone uploads the same bytes to the same store, in parts, two at a time. */
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  UploadPartCommand
} from "@aws-sdk/client-s3"
import type { S3Server } from "../harness/Servers.ts"
import { runVariant } from "../harness/Variant.ts"
import { client } from "../sweep/Client.ts"
import { pieces } from "./Body.ts"

/** Describes the upload. */
export interface SdkTask {
  readonly s3: S3Server
  readonly key: string
  readonly sizeBytes: number
}

const partBytes = 8 * 1024 * 1024
const partsAtOnce = 2

await runVariant<SdkTask, number>(async ({ s3: place, key: Key, sizeBytes }) => {
  const s3 = client(place)
  const Bucket = place.bucket
  return {
    run: async () => {
      const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
      const count = Math.ceil(sizeBytes / partBytes)
      const parts: Array<{ readonly ETag: string | undefined; readonly PartNumber: number }> = []
      let next = 0
      const worker = async () => {
        for (let part = next++; part < count; part = next++) {
          const start = part * partBytes
          const Body = Buffer.concat([...pieces(start, Math.min(partBytes, sizeBytes - start))])
          const PartNumber = part + 1
          const { ETag } = await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }))
          parts[part] = { ETag, PartNumber }
        }
      }
      await Promise.all(Array.from({ length: partsAtOnce }, worker))
      await s3.send(
        new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: parts } })
      )
      return sizeBytes
    },
    close: async () => {
      await s3.send(new DeleteObjectCommand({ Bucket, Key }))
      s3.destroy()
    }
  }
})
