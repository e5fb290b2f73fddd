/** The audit on PostgreSQL and S3: what it finds at rest, and that it finds nothing while writers and collectors work. */

import { createHash, randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Ref, Stream } from "effect"
import { fromSha256Hex } from "../../src/domain/Digest.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { audit, firstLook, named } from "../fixtures/audit/Auditing.ts"
import { Database } from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { BlobStore } from "../fixtures/Referring.ts"
import { onRealS3, layer as s3 } from "../fixtures/s3/RealServer.ts"
import { Tables } from "../fixtures/Tables.ts"

const services = Layer.mergeAll(Databases.postgres(Databases.real), s3)

/** A part of the bucket, which other tests use too. It is emptied at the end. */
const corner = Effect.gen(function* () {
  const { list, delete: remove } = yield* Storage
  const prefix = `audit/${randomUUID()}/`
  yield* Effect.addFinalizer(() =>
    Effect.orDie(Stream.runForEach(list(prefix), (page) => remove(page.map(({ key }) => key))))
  )
  return {
    prefix,
    settings: {
      blobPrefix: `${prefix}blobs/`,
      uploadPrefix: `${prefix}uploads/`,
      // An object without an owner is a finding at once.
      leftoverGrace: Duration.zero
    }
  }
})

const digestOf = (text: string) => fromSha256Hex(createHash("sha256").update(text).digest("hex"))

const putText = (key: ObjectKey, text: string) =>
  Effect.flatMap(Storage, ({ put }) => put(key, Stream.make(Buffer.from(text)), Buffer.byteLength(text)))

/** Blobs with the bytes of their names, each referenced by an artifact of that name. */
const publish = Effect.fnUntraced(function* (names: ReadonlyArray<string>, key: (name: string) => ObjectKey) {
  yield* Effect.forEach(names, (name) => putText(key(name), name), { concurrency: 16, discard: true })
  yield* (yield* Tables).write({
    blobs: names.map((name) => ({
      digest: digestOf(name),
      key: key(name),
      sizeBytes: Buffer.byteLength(name),
      createdAt: 0,
      lastUsedAt: 0
    })),
    references: names.map((name) => ({
      _tag: "Artifact",
      repository: "library",
      name,
      digest: digestOf(name)
    }))
  })
})

const atRest = Effect.gen(function* () {
  const { prefix, settings } = yield* corner
  const store = yield* Storage
  yield* (yield* Database).inspect
  const key = (name: string) => ObjectKey.make(`${settings.blobPrefix}${name}`)
  // Across the end of a page on both sides, with names that a locale would sort differently.
  const odd = ["B", "a", "á", "z", "\uffff", "\u{1f600}"]
  const plain = Array.from({ length: 1010 }, (_, n) => `n${String(n).padStart(4, "0")}`)
  yield* publish([...odd, ...plain], key)
  yield* store.delete([key("n0999"), key("á")])
  yield* putText(key("n1000"), "other")
  yield* putText(key("n1001"), "bytes")
  yield* putText(key("A nobody"), "nobody")
  yield* putText(key("\u{1f601} nobody"), "nobody")

  const { findings, summary } = yield* audit({ prefix, settings, deep: true })
  assert.deepStrictEqual(
    named(findings),
    [
      "OwnerlessObject A nobody",
      "MissingObject n0999",
      "DigestMismatch n1000",
      "DigestMismatch n1001",
      "MissingObject á",
      "OwnerlessObject \u{1f601} nobody"
    ].map((line) => line.replace(" ", ` ${settings.blobPrefix}`))
  )
  const [, missing] = findings
  assert.deepInclude(missing, {
    referrers: [{ table: "public.artifacts", column: "digest", rows: 1, sample: ["library n0999"] }]
  })
  assert.deepInclude(summary, { complete: true, sound: odd.length + plain.length - 4, settled: 0 })
  assert.strictEqual(summary.digests.verified, summary.sound)

  // Reading all of it takes a while, so once is enough.
  const shallow = findings.filter(({ _tag }) => _tag !== "DigestMismatch")
  const half = yield* audit({ prefix, settings, after: key("n0999") })
  assert.deepStrictEqual(half.findings, shallow.slice(2))

  const repaired = yield* audit({ prefix, settings, repair: true })
  assert.deepStrictEqual(repaired.findings, shallow)
  assert.strictEqual(repaired.summary.repaired?.objects, 2)
  const after = yield* audit({ prefix, settings })
  assert.deepStrictEqual(
    after.findings,
    shallow.filter(({ _tag }) => _tag !== "OwnerlessObject")
  )
  assert.strictEqual(after.summary.awaitingDeletion.objects, 2)
}).pipe(Effect.scoped, Effect.provide(services))

/** Waits so short that everything a registry writes and drops is soon collected. */
const eager = {
  grace: Duration.zero,
  quarantine: Duration.zero,
  scanPage: 50,
  batchMax: 20,
  breakerPercent: 100,
  mixedSettings: "allow"
} as const

/** Pushes and drops the same few contents again and again, as fast as it can. */
const registry = (n: number, pushed: Ref.Ref<number>) =>
  Effect.gen(function* () {
    const { putAll, unreference } = yield* BlobStore
    for (let round = 0; ; round++) {
      const text = `content ${(round + n) % 40}`
      const digest = digestOf(text)
      const reference = { _tag: "Artifact", repository: `r${n}`, name: `a${round}`, digest } as const
      const body = Stream.make(Buffer.from(text))
      yield* putAll([{ digest, sizeBytes: text.length, body, references: [reference] }])
      yield* Ref.update(pushed, (count) => count + 1)
      yield* unreference([reference])
    }
  })

/** Delays the listing after the rows, as on the later pages of a large store. */
const slowly = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Storage, (store) =>
    Effect.provideService(effect, Storage, {
      ...store,
      list: (prefix, options) =>
        Stream.unwrap(Effect.delay(Effect.succeed(store.list(prefix, options)), "200 millis"))
    })
  )

const atWork = Effect.gen(function* () {
  const { prefix, settings } = yield* corner
  const pushed = yield* Ref.make(0)
  const reports = yield* Ref.make(0)
  const work = Effect.gen(function* () {
    const sweep = yield* Sweep
    const collecting = Effect.forever(
      Effect.flatMap(sweep.once(), ({ totals }) => Ref.update(reports, (n) => n + totals.deleted))
    )
    yield* Effect.all([registry(0, pushed), registry(7, pushed), registry(19, pushed), collecting], {
      concurrency: "unbounded"
    })
  }).pipe(
    Effect.provide(
      Layer.merge(
        BlobStore.layer({ prefix: settings.blobPrefix }),
        Sweep.layerUnchecked({ ...settings, ...eager, leftoverGrace: Duration.hours(24) })
      )
    )
  )
  const worker = yield* Effect.forkScoped(work)
  const totals = { suspects: 0, settled: 0, audits: 0 }
  // Repeats until the first look is wrong.
  while (totals.audits < 10 || (totals.suspects === 0 && totals.audits < 60)) {
    const { findings, summary } = yield* slowly(audit({ prefix, settings }))
    assert.deepStrictEqual(findings, [])
    totals.settled += summary.settled
    totals.suspects += (yield* slowly(firstLook(prefix, settings))).length
    totals.audits += 1
    assert.isUndefined(worker.pollUnsafe(), "writers and collector are at work")
  }
  yield* Fiber.interrupt(worker)
  assert.isAbove(totals.suspects, 0, "the control: without its second look it would have been wrong")
  assert.isAbove(yield* Ref.get(reports), 0, "objects were deleted meanwhile")
  assert.isAbove(yield* Ref.get(pushed), 0)
}).pipe(Effect.scoped, Effect.provide(services))

if (Databases.hasReal) {
  onRealS3("The audit", (name) => {
    describe(`The audit on PostgreSQL and ${name}`, () => {
      it.live(
        "finds what is wrong, in the order of the store, and repairs what nothing owns",
        () => atRest,
        120_000
      )
      it.live("finds nothing while writers and a collector work", () => atWork, 120_000)
    })
  })
} else {
  describe("The audit on PostgreSQL and S3", () => {
    it.skip("needs REAL_DATABASE_URL and REAL_S3_ENDPOINT; npm run test:real starts both", () => undefined)
  })
}
