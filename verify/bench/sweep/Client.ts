/** The S3 client of floor and baseline, with the settings of the collector's client. */
import { S3Client } from "@aws-sdk/client-s3"
import type { S3Server } from "../harness/Servers.ts"

/** Creates the client. */
export const client = ({ endpoint, region, accessKeyId, secretAccessKey }: S3Server): S3Client =>
  new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { httpAgent: { keepAlive: true, maxSockets: 50 } }
  })
