/**
 * Upload sessions on real servers, named by `REAL_DATABASE_URL` and `REAL_S3_*` (tools/servers sets them).
 */
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { fromSha256Hex } from "../../../src/domain/Digest.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { effectiveFaults, registerFaultTable } from "../../fixtures/FaultTable.ts"
import {
  cleansUp,
  counted,
  known,
  objects,
  repository,
  rows,
  Stage,
  sound,
  stage
} from "../../fixtures/oci/UploadStage.ts"
import { hasStore, ownStore } from "../../fixtures/RealStore.ts"
import { replicaFaults } from "./Faults.contract.ts"
import { uploadsContract } from "./Uploads.contract.ts"

const mebibyte = 1024 * 1024
const timeout = 300_000

const backend = Layer.merge(Databases.postgres(Databases.real), ownStore)

/** Returns `sizeBytes` bytes from offset `from` of a file without repetition, in pieces as from a socket. */
const piece = (from: number, sizeBytes: number) =>
  Uint8Array.from({ length: sizeBytes }, (_, index) => {
    const at = from + index
    return (at * 31 + (at >> 8) * 7 + (at >> 20)) % 251
  })
const bytes = (from: number, sizeBytes: number): Stream.Stream<Uint8Array> =>
  Stream.range(0, Math.ceil(sizeBytes / 65_536) - 1).pipe(
    Stream.rechunk(1),
    Stream.map((n) => piece(from + n * 65_536, Math.min(65_536, sizeBytes - n * 65_536)))
  )

const digestOfBytes = (sizeBytes: number) =>
  Effect.gen(function* () {
    const hash = createHash("sha256")
    yield* Stream.runForEach(bytes(0, sizeBytes), (chunk) => Effect.sync(() => hash.update(chunk)))
    return fromSha256Hex(hash.digest("hex"))
  })

/** Pushes chunks of these sizes, each to the other replica, and compares the pulled bytes. */
const pushes = Effect.fnUntraced(function* (sizes: ReadonlyArray<number>, isSized: boolean) {
  const { blobs, either } = yield* Stage
  const { id } = yield* either.start(repository)
  let receivedBytes = 0
  for (const sizeBytes of sizes) {
    const options = { startByte: receivedBytes, sizeBytes: isSized ? sizeBytes : undefined }
    const status = yield* either.append(repository, id, bytes(receivedBytes, sizeBytes), options)
    receivedBytes += sizeBytes
    assert.strictEqual(status.receivedBytes, receivedBytes)
  }
  const digest = yield* digestOfBytes(receivedBytes)
  assert.deepStrictEqual(yield* either.finish(repository, id, { digest }), {
    digest,
    sizeBytes: receivedBytes
  })
  const hash = createHash("sha256")
  yield* Stream.runForEach(blobs.open(digest), (chunk) => Effect.sync(() => hash.update(chunk)))
  assert.strictEqual(fromSha256Hex(hash.digest("hex")), digest)
  yield* sound
  yield* known
  const { chunks, intents } = yield* rows
  assert.deepStrictEqual([chunks.size, intents.size], [0, 0])
})

const large = () => {
  const play = <A, E>(test: Effect.Effect<A, E, Stage>) =>
    test.pipe(Effect.provide(Layer.merge(stage(backend), counted())), Effect.scoped)

  for (const isSized of [true, false]) {
    it.effect(
      `of one chunk of many parts becomes the blob in place: 40 MiB of ${isSized ? "known" : "unknown"} length`,
      () =>
        play(
          Effect.gen(function* () {
            const { traffic } = yield* Stage
            yield* pushes([40 * mebibyte], isSized)
            assert.strictEqual(traffic.writtenBytes, 40 * mebibyte)
            assert.deepStrictEqual([traffic.readBytes, traffic.puts, traffic.copies], [0, 1, 0])
            assert.lengthOf(yield* objects, 1)
            yield* cleansUp()
          })
        ),
      timeout
    )
  }

  it.effect(
    "of several large chunks is read once, and joined by the store",
    () =>
      play(
        Effect.gen(function* () {
          const { traffic } = yield* Stage
          yield* pushes([20 * mebibyte, 1, 20 * mebibyte + 17], false)
          const size = 40 * mebibyte + 18
          assert.deepStrictEqual([traffic.writtenBytes, traffic.readBytes], [size, size])
          yield* cleansUp()
        })
      ),
    timeout
  )

  it.effect(
    "of 300 small chunks is streamed once",
    () =>
      play(
        Effect.gen(function* () {
          yield* pushes(
            Array.from({ length: 300 }, (_, n) => 1000 + n),
            true
          )
          assert.isAbove((yield* rows).journal.size, 298)
          yield* cleansUp()
        })
      ),
    timeout
  )
}

if (Databases.hasReal && hasStore) {
  uploadsContract("PostgreSQL and S3", backend)
  describe("an upload session on PostgreSQL and S3", large)
  // One story, because the transactions are under test here. The twin in memory has all stories.
  await registerFaultTable(replicaFaults(["a chunk and a last body"], ["continues at the other replica"]), {
    name: "PostgreSQL and S3",
    backend,
    faults: effectiveFaults,
    timeout
  })
} else {
  describe("an upload session on PostgreSQL and S3", () => {
    it.skip("needs REAL_DATABASE_URL and REAL_S3_ENDPOINT; npm run test:real starts both", () => undefined)
  })
}
