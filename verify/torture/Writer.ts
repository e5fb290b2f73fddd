/**
 * A process that writes, refers, drops and reads at random until it is killed. It prints a line of JSON for each thing
 * it did; a line with `lost` is what the whole exercise looks for.
 *
 *   node Writer.js NAME SEED
 */
import { createHash } from "node:crypto"
import { Cause, Duration, Effect, Exit, Layer, Option, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import { Database, type Reference } from "../../src/database/Database.ts"
import type { Digest } from "../../src/domain/Digest.ts"
import * as Servers from "../bench/harness/Servers.ts"
import { content } from "./Contents.ts"
import { dice } from "./Dice.ts"
import { layers } from "./Place.ts"

/** Different contents; fewer than references, so that most are shared, and few enough to come back soon. */
const contents = 60
/** Names a writer uses for its references. */
const names = 25
/** Shorter than a request that is held back, so that intents are reaped under their writers. */
const uploadLease = Duration.seconds(2)

const [name = "writer", seed = "1"] = process.argv.slice(2)
const servers = Servers.fromEnvironment()
if (servers === null) throw new Error("REAL_DATABASE_URL and REAL_S3_… say where the servers are")
const roll = dice(`${seed} ${name}`)

const tell = (line: object) => Effect.sync(() => void process.stdout.write(`${JSON.stringify(line)}\n`))

const referenceTo = (digest: Digest): Reference => {
  const n = roll.below(names)
  return n % 5 === 0
    ? { _tag: "LocalFile", path: `${name}/${n}`, digest }
    : { _tag: "Artifact", repository: name, name: `tag ${n}`, digest }
}

const pushing = Effect.gen(function* () {
  const store = yield* BlobStore
  const { bytes, digest } = content(roll.below(contents))
  const { outcome } = yield* store.put(Stream.fromIterable(inChunks(bytes)), {
    references: [referenceTo(digest)],
    sizeBytes: bytes.length,
    ...(roll.below(3) > 0 ? { digest } : {})
  })
  return outcome
})

const inChunks = (bytes: Uint8Array): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, n) =>
    bytes.subarray(n * 65_536, (n + 1) * 65_536)
  )

/** "It exists", and only later the reference. */
const pinning = Effect.gen(function* () {
  const store = yield* BlobStore
  const { digest } = content(roll.below(contents))
  const pin = yield* store.pin(digest, Duration.seconds(3))
  if (Option.isNone(pin)) return "absent"
  yield* Effect.sleep(Duration.millis(roll.below(2500)))
  yield* store.reference([referenceTo(digest)], { release: [pin.value] })
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

const dropping = Effect.gen(function* () {
  const store = yield* BlobStore
  const mine = (yield* storedReferences).filter((row) => (row.repository ?? row.name).startsWith(name))
  const dropped = mine.filter(() => roll.below(3) === 0)
  yield* store.unreference(dropped.map(toReference))
  return "dropped"
})

/**
 * A reference that is there before and after a failed read was broken in between, unless it went and came back; three
 * times in a row it did not.
 */
const reading = Effect.gen(function* () {
  const all = yield* storedReferences
  const wanted = all[roll.below(Math.max(1, all.length))]
  if (wanted === undefined) return "nothing"
  let reason = ""
  for (let n = 0; n < 3; n++) {
    const outcome = yield* Effect.result(readBack(wanted.digest as Digest))
    if (outcome._tag === "Success") {
      if (outcome.success === wanted.digest) return "read"
      reason = `its bytes hash to ${outcome.success}`
    } else {
      const error = outcome.failure
      if (error._tag !== "BlobUnknown" && !("reason" in error && error.reason === "NotFound"))
        return "unreadable now"
      reason = error.message
    }
    const again = yield* storedReferences
    if (!again.some((row) => JSON.stringify(row) === JSON.stringify(wanted))) return "gone"
  }
  yield* tell({ lost: `${wanted.repository ?? ""} ${wanted.name} refers to ${wanted.digest}: ${reason}` })
  return "lost"
})

const readBack = Effect.fnUntraced(function* (digest: Digest) {
  const store = yield* BlobStore
  const hash = createHash("sha256")
  yield* Stream.runForEach(store.open(digest), (chunk) => Effect.sync(() => void hash.update(chunk)))
  return `sha256:${hash.digest("hex")}`
})

/** Whatever else it fails with is not among what faults of the servers explain. */
const expected = new Set(["DatabaseError", "StorageError", "BlobUnknown", "UploadExpired", "SqlError"])

/** Something to do, by the throw of a die of ten. */
const chosen = (
  die: number
): {
  readonly what: string
  readonly work: Effect.Effect<string, unknown, BlobStore | SqlClient.SqlClient>
} => {
  if (die < 4) return { what: "push", work: pushing }
  if (die < 6) return { what: "drop", work: dropping }
  return die < 7 ? { what: "pin", work: pinning } : { what: "read", work: reading }
}

const once = Effect.gen(function* () {
  const { what, work } = chosen(roll.below(10))
  const exit = yield* Effect.exit(work)
  if (Exit.isSuccess(exit)) return yield* tell({ did: what, outcome: exit.value })
  const error = Cause.squash(exit.cause)
  const tag = error instanceof Error && "_tag" in error ? String(error._tag) : "Defect"
  yield* tell(
    expected.has(tag)
      ? { did: what, failed: tag }
      : { did: what, unexpected: error instanceof Error ? (error.stack ?? error.message) : String(error) }
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

await Effect.runPromise(Effect.andThen(Effect.asVoid(Database), main).pipe(Effect.provide(layers(servers))))
