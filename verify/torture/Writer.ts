/**
 * A process that pushes, refers, removes references and reads at random until it is killed. It prints a line
 * of JSON for each operation. A line with `lost` reports a referenced blob that cannot be read.
 *
 *   node Writer.js NAME SEED
 */

import { createHash } from "node:crypto"
import { inspect } from "node:util"
import { Cause, Duration, Effect, Exit, Layer, Option, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Artifacts, type Reference } from "../../src/artifacts/Artifacts.ts"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import { CollectorDatabase } from "../../src/database/Database.ts"
import type { Digest } from "../../src/domain/Digest.ts"
import * as Servers from "../bench/harness/Servers.ts"
import { content } from "./Contents.ts"
import { layers } from "./Layers.ts"
import * as Rng from "./Rng.ts"

/** Number of contents. Fewer than references, so that most are shared, and few enough to return soon. */
const contents = 60
/** Number of names that a writer uses for its references. */
const names = 25
/** Shorter than a request that is held back, so that intents are reaped under their writers. */
const uploadLease = Duration.seconds(2)

const [name = "writer", seed = "1"] = process.argv.slice(2)
const servers = Servers.fromEnvironment()
if (servers === null) throw new Error("REAL_DATABASE_URL and REAL_S3_… must be set")
const rng = Rng.make(`${seed} ${name}`)

const print = (line: object) => Effect.sync(() => void process.stdout.write(`${JSON.stringify(line)}\n`))

const referenceTo = (digest: Digest): Reference => {
  const n = rng.below(names)
  return n % 5 === 0
    ? { _tag: "LocalFile", path: `${name}/${n}`, digest }
    : { _tag: "Artifact", repository: name, name: `tag ${n}`, digest }
}

const pushing = Effect.gen(function* () {
  const store = yield* BlobStore
  const { add } = yield* Artifacts
  const { bytes, digest } = content(rng.below(contents))
  const { outcome } = yield* store.put(Stream.fromIterable(inChunks(bytes)), {
    commit: () => add([referenceTo(digest)]),
    sizeBytes: bytes.length,
    ...(rng.below(3) > 0 ? { digest } : {})
  })
  return outcome
})

const inChunks = (bytes: Uint8Array): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, n) =>
    bytes.subarray(n * 65_536, (n + 1) * 65_536)
  )

/** Pins a blob and refers to it later, as a registry does that answers "this blob exists". */
const pinning = Effect.gen(function* () {
  const store = yield* BlobStore
  const { digest } = content(rng.below(contents))
  const pin = yield* store.pin(digest, Duration.seconds(3))
  if (Option.isNone(pin)) return "absent"
  yield* Effect.sleep(Duration.millis(rng.below(2500)))
  yield* (yield* Artifacts).reference([referenceTo(digest)], { release: [pin.value] })
  return "referred"
})

const storedReferences = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<{ repository: string | null; name: string; digest: string }>`
    SELECT repository, name, digest FROM artifacts UNION ALL SELECT NULL, path, digest FROM local_files`
})

type Stored = Effect.Success<typeof storedReferences>[number]

const toReference = ({ repository, name, digest }: Stored): Reference =>
  repository === null
    ? { _tag: "LocalFile", path: name, digest: digest as Digest }
    : { _tag: "Artifact", repository, name, digest: digest as Digest }

const removing = Effect.gen(function* () {
  const { unreference } = yield* Artifacts
  const mine = (yield* storedReferences).filter((row) => (row.repository ?? row.name).startsWith(name))
  const dropped = mine.filter(() => rng.below(3) === 0)
  yield* unreference(dropped.map(toReference))
  return "dropped"
})

/**
 * Reads a referenced blob. A read that fails between two looks at the reference shows a loss, unless the
 * reference was removed and written again in between. Three such reads in a row are reported.
 */
const reading = Effect.gen(function* () {
  const all = yield* storedReferences
  const chosen = all[rng.below(Math.max(1, all.length))]
  if (chosen === undefined) return "nothing"
  let reason = ""
  for (let n = 0; n < 3; n++) {
    const outcome = yield* Effect.result(readBack(chosen.digest as Digest))
    if (outcome._tag === "Success") {
      if (outcome.success === chosen.digest) return "read"
      reason = `its bytes hash to ${outcome.success}`
    } else {
      const error = outcome.failure
      if (error._tag !== "BlobUnknown" && !("reason" in error && error.reason === "NotFound"))
        return "unreadable now"
      reason = error.message
    }
    const again = yield* storedReferences
    if (!again.some((row) => JSON.stringify(row) === JSON.stringify(chosen))) return "gone"
  }
  yield* print({ lost: `${chosen.repository ?? ""} ${chosen.name} refers to ${chosen.digest}: ${reason}` })
  return "lost"
})

const readBack = Effect.fnUntraced(function* (digest: Digest) {
  const store = yield* BlobStore
  const hash = createHash("sha256")
  yield* Stream.runForEach(store.open(digest), (chunk) => Effect.sync(() => void hash.update(chunk)))
  return `sha256:${hash.digest("hex")}`
})

/** Failures that faults of the servers explain. Others are reported. */
const expected = new Set(["DatabaseError", "StorageError", "BlobUnknown", "UploadExpired", "SqlError"])

/** Returns the operation for a number below ten. */
const operationOf = (
  number: number
): {
  readonly what: string
  readonly work: Effect.Effect<string, unknown, Artifacts | BlobStore | SqlClient.SqlClient>
} => {
  if (number < 4) return { what: "push", work: pushing }
  if (number < 6) return { what: "drop", work: removing }
  return number < 7 ? { what: "pin", work: pinning } : { what: "read", work: reading }
}

const once = Effect.gen(function* () {
  const { what, work } = operationOf(rng.below(10))
  const exit = yield* Effect.exit(work)
  if (Exit.isSuccess(exit)) return yield* print({ did: what, outcome: exit.value })
  const error = Cause.squash(exit.cause)
  const tag = error instanceof Error && "_tag" in error ? String(error._tag) : "Defect"
  yield* print(
    expected.has(tag)
      ? { did: what, failed: tag }
      : {
          did: what,
          unexpected: inspect(error)
        }
  )
})

const main = Effect.forever(once).pipe(
  Effect.replicateEffect(3, { concurrency: "unbounded", discard: true }),
  Effect.provide(
    BlobStore.layer({ uploadLease }).pipe(
      Layer.provideMerge(layers({ databaseUrl: servers.databaseUrl, s3: servers.s3 }))
    )
  )
)

await Effect.runPromise(
  Effect.andThen(Effect.asVoid(CollectorDatabase), main).pipe(Effect.provide(layers(servers)))
)
