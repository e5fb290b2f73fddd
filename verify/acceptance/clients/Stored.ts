/** What the registry has stored, read behind its back: the bucket's objects and the rows of its tables. */
import { ListObjectsV2Command, type ListObjectsV2CommandOutput, S3Client } from "@aws-sdk/client-s3"
import { Effect, ManagedRuntime, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { layerClient } from "../../../src/database/Postgres.ts"
import type { Found } from "../../../tools/servers/Servers.ts"

/** The tables that are empty when no upload is under way and no garbage is left. */
const passing = ["upload_sessions", "upload_chunks", "intents", "journal", "orphans", "pins"] as const

export type PassingRows = Readonly<Record<(typeof passing)[number], number>>

export interface Stored {
  readonly query: <Row extends object>(statement: string) => Promise<ReadonlyArray<Row>>
  /** Returns the keys of all objects below `prefix`. Default: of all objects. */
  readonly objects: (prefix?: string) => Promise<ReadonlyArray<string>>
  /** Returns the object key of every blob, by digest. */
  readonly blobs: () => Promise<ReadonlyMap<string, string>>
  /** Returns how many rows each table has that is empty when everything has settled. */
  readonly passingRows: () => Promise<PassingRows>
  readonly close: () => Promise<void>
}

/** Opens connections of its own to the registry's servers. */
export const openStored = ({ databaseUrl, s3 }: Found): Stored => {
  const runtime = ManagedRuntime.make(layerClient({ url: Redacted.make(databaseUrl), maxConnections: 2 }))
  // As in the registry: the SDK's warning about Node's version concerns operators, not this program.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true"
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: s3.region,
    forcePathStyle: true,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey }
  })

  const query: Stored["query"] = <Row extends object>(statement: string) =>
    runtime.runPromise(Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Row>(statement)))

  const objects: Stored["objects"] = async (prefix = "") => {
    const keys: Array<string> = []
    for (let token: string | undefined; ; ) {
      const page: ListObjectsV2CommandOutput = await client.send(
        new ListObjectsV2Command({ Bucket: s3.bucket, Prefix: prefix, ContinuationToken: token })
      )
      keys.push(...(page.Contents ?? []).flatMap(({ Key }) => Key ?? []))
      if (!page.IsTruncated) return keys
      token = page.NextContinuationToken
    }
  }

  return {
    query,
    objects,
    blobs: async () => {
      const rows = await query<{ digest: string; object_key: string }>(
        "SELECT digest, object_key FROM public.blobs"
      )
      return new Map(rows.map((row) => [row.digest, row.object_key]))
    },
    passingRows: async () => {
      const count = (table: string) => `(SELECT count(*)::int FROM artifact_gc.${table}) AS ${table}`
      const [row] = await query<PassingRows>(`SELECT ${passing.map(count).join(", ")}`)
      if (row === undefined) throw new Error("The statement returned no row.")
      return row
    },
    close: async () => {
      client.destroy()
      await runtime.dispose()
    }
  }
}
