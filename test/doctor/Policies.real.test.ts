/**
 * The policies of deploy/iam, judged by a real S3 server: a second user has exactly the rights of a file. Each request of the
 * program is tried under the whole file, and again without each right. So a missing right fails a test, and so does a right
 * that no request needs.
 */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Result, Stream } from "effect"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import { ask } from "../../src/doctor/Check.ts"
import { storeGroup } from "../../src/doctor/StoreChecks.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import { Repositories } from "../../src/oci/Repositories.ts"
import { Uploads } from "../../src/oci/Uploads.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { audit, named } from "../fixtures/audit/Auditing.ts"
import { inMemory } from "../fixtures/Database.ts"
import { configured } from "../fixtures/Doctor.ts"
import { bytesOf, digestOf, imageOf, impatient, ociImage, pull } from "../fixtures/oci/Repositories.ts"
import { limitedUser, type Policy, type Statement } from "../fixtures/s3/LimitedUser.ts"
import { onRealS3, ownBucket } from "../fixtures/s3/RealServer.ts"
import { begin, type Operation, ofCollectors, ofVersions, ofWriters, put } from "../fixtures/s3/Requests.ts"

const policyOf = (file: string, bucket: string): Policy =>
  JSON.parse(
    readFileSync(new URL(`../../deploy/iam/${file}.json`, import.meta.url), "utf8").replaceAll(
      "BUCKET",
      bucket
    )
  )

/** Returns every right of a policy, with the policy that lacks it in one statement. */
const lacking = ({ Statement, Version }: Policy) =>
  Statement.flatMap(({ Action }, index) =>
    Action.map((right) => {
      const rest = Statement.map((one, at) =>
        at === index ? { ...one, Action: one.Action.filter((action) => action !== right) } : one
      )
      return { right, policy: { Version, Statement: rest.filter(({ Action }) => Action.length > 0) } }
    })
  )

/** AWS asks for these rights before it shows a lock. radosgw 16 shows it without them. */
const ofAwsAlone = ["s3:GetObjectRetention", "s3:GetObjectLegalHold"]

/** A user with a policy, a bucket, and what it must not reach. */
const scene = Effect.fnUntraced(function* (file: string, withVersions = false) {
  const { Bucket, client, held } = yield* ownBucket(withVersions)
  const user = yield* limitedUser
  const store = yield* user.storage(Bucket, withVersions ? "versions" : undefined)
  const policy = policyOf(file, Bucket)
  const allow = (policy: Policy) => user.allow(client, Bucket, policy)
  yield* allow(policy)
  let turn = 0
  /** Returns the operations that are refused. */
  const refused = (operations: ReadonlyArray<Operation>) =>
    Effect.forEach(
      operations,
      (operation) => {
        const now = ++turn
        const key = (prefix = "blobs/") => ObjectKey.make(`${prefix}${now}`)
        return Effect.map(Effect.result(operation.run({ Bucket, client, store, key })), (answer) =>
          Result.isFailure(answer) ? [operation.name] : []
        )
      },
      { concurrency: 4 }
    ).pipe(Effect.map((names) => names.flat()))
  return { Bucket, client, held, user, store, policy, allow, refused }
})

type Made = Effect.Success<ReturnType<typeof scene>>

/** Fails if an operation is refused under the file, or is not without one of the rights in question. */
const judge = Effect.fnUntraced(function* (
  { allow, policy, refused }: Made,
  operations: ReadonlyArray<Operation>,
  isInQuestion: (right: string) => boolean
) {
  assert.deepStrictEqual(yield* refused(operations), [])
  for (const { policy: less, right } of lacking(policy).filter(({ right }) => isInQuestion(right))) {
    yield* allow(less)
    const needing = operations.filter(({ needs }) => needs.includes(right))
    assert.isNotEmpty(needing, `${right} is for nothing`)
    const names = needing.map(({ name }) => name)
    assert.deepStrictEqual(yield* refused(needing), names, right)
  }
  yield* allow(policy)
})

/** Fails if the user reaches what is none of the program's business. */
const judgeOutside = Effect.fnUntraced(function* ({ Bucket, client, policy, store, user }: Made) {
  const other = yield* ownBucket()
  for (const Key of [ObjectKey.make("other/object"), ObjectKey.make("blobs/object")]) {
    yield* put({ Bucket, client }, Key)
    yield* put({ Bucket: other.Bucket, client }, Key)
  }
  const writes = policy.Statement.some(({ Action }) => Action.includes("s3:PutObject"))
  const tries: ReadonlyArray<readonly [method: string, path: string, subresource?: string]> = [
    ["DELETE", Bucket],
    ["GET", Bucket, "policy"],
    ...["policy", "lifecycle", "versioning", "acl"].map((name) => ["PUT", Bucket, name] as const),
    ["PUT", `${Bucket}/blobs/object`, "acl"],
    ...["GET", "PUT", "DELETE"].map((method) => [method, `${Bucket}/other/object`] as const),
    ...(writes ? [] : [["PUT", `${Bucket}/blobs/object`] as const]),
    ["GET", other.Bucket],
    ["DELETE", other.Bucket],
    ...["GET", "PUT", "DELETE"].map((method) => [method, `${other.Bucket}/blobs/object`] as const)
  ]
  for (const [method, path, subresource] of tries) {
    const query: Record<string, string> = subresource === undefined ? {} : { [subresource]: "" }
    assert.strictEqual(yield* user.status(method, `/${path}`, query), 403, `${method} ${path} ${subresource}`)
  }
  // In a batch, too, a key outside of the prefixes is refused, and the others are deleted.
  const keys = ["other/object", "blobs/object"].map((key) => ObjectKey.make(key))
  const { deleted, failed } = yield* store.delete(keys)
  assert.deepStrictEqual<unknown>(deleted, ["blobs/object"])
  assert.deepStrictEqual(
    failed.map(({ key, reason }) => `${key} ${reason}`),
    ["other/object denied"]
  )
})

/** Rights that the doctor asks for, and the check that finds each missing. */
const seenByDoctor: Readonly<Record<string, string>> = {
  "s3:ListBucket": "store",
  "s3:GetObject": "reading",
  "s3:GetBucketVersioning": "versions",
  "s3:GetBucketObjectLockConfiguration": "versions",
  "s3:GetLifecycleConfiguration": "lifecycle",
  "s3:ListBucketMultipartUploads": "uploads",
  "s3:DeleteObject": "writing",
  "s3:PutObject": "writing"
}

const resourcesOf = ({ Resource }: Statement) => (typeof Resource === "string" ? [Resource] : Resource)

/** Returns each right with each resource of it, as lines. */
const rightsOf = (statements: ReadonlyArray<Statement>): ReadonlyArray<string> =>
  statements.flatMap((one) =>
    one.Action.flatMap((action) => resourcesOf(one).map((resource) => `${action} ${resource}`))
  )

onRealS3("Policies", (name) => {
  describe.skipIf(name !== "radosgw")(`deploy/iam, judged by ${name}`, () => {
    it.live(
      "collector.json permits what a collector asks, each right of it is needed, and no more is permitted",
      () =>
        Effect.gen(function* () {
          const made = yield* scene("collector")
          yield* judge(made, ofCollectors, () => true)
          yield* judgeOutside(made)
        }).pipe(Effect.scoped),
      60_000
    )

    it.live(
      "registry.json also permits what a writer asks, below its prefixes alone",
      () =>
        Effect.gen(function* () {
          const made = yield* scene("registry")
          assert.deepStrictEqual(yield* made.refused(ofCollectors), [])
          const needed = new Set(ofWriters.flatMap(({ needs }) => needs))
          yield* judge(made, ofWriters, (right) => needed.has(right))
          yield* judgeOutside(made)
          const collector = policyOf("collector", made.Bucket)
          const more = rightsOf(made.policy.Statement).filter(
            (right) => !rightsOf(collector.Statement).includes(right)
          )
          assert.deepStrictEqual([...new Set(more.map((right) => right.split(" ")[0]))], ["s3:PutObject"])
        }).pipe(Effect.scoped),
      60_000
    )

    for (const role of ["collector", "registry"]) {
      it.live(
        `${role}-versions.json also permits what deletes ask in a bucket with versions and locks`,
        () =>
          Effect.gen(function* () {
            const made = yield* scene(`${role}-versions`, true)
            const plain = rightsOf(policyOf(role, made.Bucket).Statement)
            const rights = rightsOf(made.policy.Statement)
            assert.includeMembers([...rights], [...plain])
            const added = new Set(
              rights.filter((right) => !plain.includes(right)).map((right) => right.split(" ")[0] ?? "")
            )
            assert.includeMembers([...added], ofAwsAlone)
            yield* judge(made, ofVersions, (right) => added.has(right) && !ofAwsAlone.includes(right))
          }).pipe(Effect.scoped),
        60_000
      )
    }

    it.live(
      "a registry, a sweep and an audit run under the files",
      () =>
        Effect.gen(function* () {
          const { Bucket, allow, client, held, store } = yield* scene("registry")
          const services = Layer.provideMerge(
            Layer.mergeAll(
              Sweep.layerUnchecked({
                ...impatient,
                phases: registryPhases,
                uploadGrace: Duration.zero,
                leftoverGrace: Duration.zero
              }),
              Uploads.layer({}),
              Repositories.layer()
            ),
            BlobStore.layer()
          ).pipe(Layer.provideMerge(Layer.merge(inMemory(), Layer.succeed(Storage, store))))
          yield* Effect.gen(function* () {
            const { append, finish, start } = yield* Uploads
            const { deleteManifest, putManifest } = yield* Repositories
            for (const content of ["config", "layer"]) {
              const { id } = yield* start("app")
              const bytes = bytesOf(content)
              yield* append("app", id, Stream.make(bytes.subarray(0, 2)), { startByte: 0, sizeBytes: 2 })
              yield* finish("app", id, { digest: digestOf(content), body: Stream.make(bytes.subarray(2)) })
            }
            const image = imageOf(["layer"])
            yield* putManifest("app", bytesOf(image), { reference: "1", mediaType: ociImage })
            assert.include(yield* pull("app", "1"), "layer")
            yield* deleteManifest("app", digestOf(image))

            yield* allow(policyOf("collector", Bucket))
            yield* put({ Bucket, client }, ObjectKey.make("blobs/sha256/00/leftover"))
            yield* begin({ Bucket, client }, ObjectKey.make("uploads/lost"))
            const { findings } = yield* audit({ deep: true, settings: { leftoverGrace: Duration.zero } })
            assert.deepStrictEqual(named(findings), ["OwnerlessObject blobs/sha256/00/leftover"])
            const { guards, outcome, phases } = yield* (yield* Sweep).once()
            assert.deepStrictEqual({ guards, outcome }, { guards: [], outcome: "complete" })
            for (const [name, { error, failed }] of Object.entries(phases)) {
              assert.deepStrictEqual({ name, error, failed }, { name, error: null, failed: {} })
            }
            assert.strictEqual(phases.multiparts?.deleted, 1)
            assert.isAbove(phases.journal?.deleted ?? 0, 0)
            // The layer and the configuration, which the repository holds.
            assert.lengthOf(yield* held, 2)
          }).pipe(Effect.provide(services))
        }).pipe(Effect.scoped),
      60_000
    )

    it.live(
      "the doctor finds nothing under registry.json, and prints that right of it which is missing",
      () =>
        Effect.gen(function* () {
          const { Bucket, allow, client, policy, store } = yield* scene("registry")
          yield* put({ Bucket, client }, ObjectKey.make("blobs/one"))
          const { checks, gate } = storeGroup(yield* configured({ S3_BUCKET: Bucket }), true)
          const all = gate === null ? checks : [gate, ...checks]
          const problems = (name?: string) =>
            Effect.forEach(
              all.filter((check) => name === undefined || check.name === name),
              ask
            ).pipe(
              Effect.map((found) =>
                found.flat().filter(({ severity }) => severity === "problem" || severity === "warning")
              ),
              Effect.provideService(Storage, store)
            )
          assert.deepStrictEqual(yield* problems(), [])
          for (const { policy: less, right } of lacking(policy)) {
            const check = seenByDoctor[right]
            if (check === undefined) continue
            yield* allow(less)
            const found = yield* problems(check)
            assert.lengthOf(found, 1, right)
            const fix: Statement = JSON.parse(found[0]?.fix ?? "")
            assert.includeMembers([...rightsOf(policy.Statement)], [...rightsOf([fix])])
            yield* allow({ ...less, Statement: [...less.Statement, fix] })
            assert.deepStrictEqual(yield* problems(check), [], right)
          }
        }).pipe(Effect.scoped),
      60_000
    )
  })
})
