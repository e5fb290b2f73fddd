/** What the registry keeps, looked at from behind: the bucket's objects and the rows of its tables. */
import { ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3"
import { Effect, ManagedRuntime, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { layerClient } from "../../dist/database/Postgres.js"

/** Everything that must be gone when nothing is under way and nothing is garbage. */
const passing = ["upload_sessions", "upload_chunks", "intents", "journal", "orphans", "pins"]

export const lookBehind = ({ databaseUrl, s3 }) => {
  const runtime = ManagedRuntime.make(layerClient({ url: Redacted.make(databaseUrl), maxConnections: 2 }))
  // As the registry does: what the SDK says of node's version is for whoever installs it.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true"
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: s3.region,
    forcePathStyle: true,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey }
  })

  const query = (statement) =>
    runtime.runPromise(Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(statement)))

  /** The keys of all objects below `prefix`. */
  const objects = async (prefix = "") => {
    const keys = []
    for (let token; ; ) {
      const page = await client.send(
        new ListObjectsV2Command({ Bucket: s3.bucket, Prefix: prefix, ContinuationToken: token })
      )
      keys.push(...(page.Contents ?? []).map(({ Key }) => Key))
      if (!page.IsTruncated) return keys
      token = page.NextContinuationToken
    }
  }

  /** The object key of every blob, by digest. */
  const blobs = async () =>
    new Map(
      (await query("SELECT digest, object_key FROM public.blobs")).map((row) => [row.digest, row.object_key])
    )

  /** How many rows each table has that must be empty in the end. */
  const passingRows = async () => {
    const count = (table) => `(SELECT count(*)::int FROM artifact_gc.${table}) AS ${table}`
    return (await query(`SELECT ${passing.map(count).join(", ")}`))[0]
  }

  const close = async () => {
    client.destroy()
    await runtime.dispose()
  }
  return { query, objects, blobs, passingRows, close }
}
