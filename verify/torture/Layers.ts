/** The layers of a process under torture. The harness checks the final state with the same layers. */
import { Context, Duration, Layer, Redacted } from "effect"
import { Artifacts } from "../../src/artifacts/Artifacts.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import * as RegistryPostgres from "../../src/oci/database/Postgres.ts"
import * as S3 from "../../src/storage/S3.ts"
import { Storage } from "../../src/storage/Storage.ts"
import type { Servers } from "../bench/harness/Servers.ts"

/** Short, so that a request that is held back outlives its sender's patience within a second. */
export const requestTimeoutMillis = 1000

/** Connects to the database and the store. */
export const layers = ({ databaseUrl, s3 }: Servers) =>
  Layer.merge(
    Layer.provideMerge(Artifacts.layer(), Layer.merge(Postgres.layer(), RegistryPostgres.layer())).pipe(
      Layer.provideMerge(Postgres.layerClient({ url: Redacted.make(databaseUrl), maxConnections: 6 }))
    ),
    S3.layer({
      bucket: s3.bucket,
      region: s3.region,
      endpoint: s3.endpoint,
      credentials: {
        accessKeyId: Redacted.make(s3.accessKeyId),
        secretAccessKey: Redacted.make(s3.secretAccessKey)
      },
      requestTimeout: Duration.millis(requestTimeoutMillis),
      // A fault strikes once, so more retries would only take time.
      retries: 1,
      // Bodies of a few megabytes are uploaded in parts.
      multipartAboveBytes: 5 * 1024 * 1024
    }).pipe(Layer.flatMap(underOneName(s3.bucket)))
  )

/** The proxies are other addresses of one server, and the binding would take them for other stores. */
const underOneName = (bucket: string) => (services: Context.Context<Storage>) =>
  Layer.succeed(
    Storage,
    Storage.of({ ...Context.get(services, Storage), identity: { store: "s3", S3_BUCKET: bucket } })
  )
