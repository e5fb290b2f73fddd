/** What the doctor finds in a bucket, on a server that a test scripts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { askGroup } from "../../src/doctor/Check.ts"
import { storeGroup } from "../../src/doctor/StoreChecks.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { configured, fixes, of } from "../fixtures/Doctor.ts"
import {
  type Answer,
  type Asked,
  deleteXml,
  errorXml,
  listXml,
  reply,
  uploadsXml
} from "../fixtures/s3/StubServer.ts"
import { storeThat } from "../fixtures/s3/StubStore.ts"

type Purpose =
  | "list"
  | "head"
  | "get"
  | "put"
  | "delete"
  | "versioning"
  | "object-lock"
  | "lifecycle"
  | "uploads"
  | "clock"

const purposeOf = ({ method, url }: Asked): Purpose => {
  const { pathname, searchParams } = new URL(url, "http://x")
  for (const name of ["versioning", "object-lock", "lifecycle", "uploads"] as const) {
    if (searchParams.has(name)) return name
  }
  const isObject = /^\/bucket\/./.test(pathname)
  if (method === "HEAD") return isObject ? "head" : "clock"
  if (method === "PUT") return "put"
  if (method === "POST" || method === "DELETE") return "delete"
  return isObject ? "get" : "list"
}

const usual: Readonly<Record<Purpose, Answer>> = {
  list: reply(200, listXml([{ key: "blobs/a" }])),
  head: reply(404),
  get: reply(206, "x", { "content-range": "bytes 0-0/1", "content-length": "1" }),
  put: reply(200),
  delete: (asked, response, request) => reply(200, deleteXml(["blobs/a"], []))(asked, response, request),
  versioning: reply(200, "<VersioningConfiguration/>"),
  "object-lock": reply(404, errorXml("ObjectLockConfigurationNotFoundError")),
  lifecycle: reply(404, errorXml("NoSuchLifecycleConfiguration")),
  uploads: reply(200, uploadsXml([])),
  clock: reply(200, "", { server: "Stub/1", date: new Date(0).toUTCString() })
}

/** Asks the checks of the store on a server that gives other answers to some requests. */
const examined = (
  answers: Partial<Record<Purpose, Answer>> = {},
  { variables = {}, write = false }: { variables?: Readonly<Record<string, string>>; write?: boolean } = {}
) =>
  Effect.gen(function* () {
    const { asked, storage } = yield* storeThat([
      (entry, response, request) =>
        (answers[purposeOf(entry)] ?? usual[purposeOf(entry)])(entry, response, request)
    ])
    const group = storeGroup(yield* configured(variables), write)
    const all = yield* Effect.provideService(askGroup(group), Storage, storage)
    return { all, asked }
  })

const denied = reply(403, errorXml("AccessDenied"))

const lifecycleXml = (...rules: ReadonlyArray<string>) =>
  reply(
    200,
    `<LifecycleConfiguration>${rules.map((rule) => `<Rule><Status>Enabled</Status>${rule}</Rule>`).join("")}</LifecycleConfiguration>`
  )

describe("doctor on a store", () => {
  it.live("finds nothing in a plain bucket, and sends nothing that changes it", () =>
    Effect.gen(function* () {
      const { all, asked } = yield* examined()
      assert.deepStrictEqual(
        all.filter(({ severity }) => severity !== "ok").map(({ title }) => title),
        ["Writing and deleting were not tried"]
      )
      assert.deepStrictEqual([...new Set(asked.map(({ method }) => method))].sort(), ["GET", "HEAD"])
      assert.deepStrictEqual(of(all, "lifecycle"), [
        "ok: No lifecycle rule touches blobs or uploads under way"
      ])
      assert.match(all.find(({ check }) => check === "dialect")?.seen ?? "", /Stub\/1/)
    }).pipe(Effect.scoped)
  )

  it.live("says which statement of a policy is missing for each right", () =>
    Effect.gen(function* () {
      const { all } = yield* examined({
        get: denied,
        versioning: denied,
        lifecycle: denied,
        uploads: denied
      })
      const bucket = "arn:aws:s3:::bucket"
      const statement = (action: ReadonlyArray<string>, of: string | ReadonlyArray<string> = bucket) =>
        JSON.stringify({ Effect: "Allow", Action: action, Resource: of })
      assert.deepStrictEqual(fixes(all, "reading"), [
        statement(["s3:GetObject"], [`${bucket}/blobs/*`, `${bucket}/uploads/*`])
      ])
      assert.deepStrictEqual(fixes(all, "versions"), [
        statement(["s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"])
      ])
      assert.deepStrictEqual(fixes(all, "lifecycle"), [statement(["s3:GetLifecycleConfiguration"])])
      assert.deepStrictEqual(fixes(all, "uploads"), [statement(["s3:ListBucketMultipartUploads"])])
      const none = yield* examined({ list: denied })
      assert.deepStrictEqual(of(none.all, "store"), [
        "problem: The store cannot be listed",
        "note: 7 checks of the store were not asked"
      ])
    }).pipe(Effect.scoped)
  )

  it.live("finds versions without a choice, locks, and rules that delete behind the catalogue's back", () =>
    Effect.gen(function* () {
      const { all } = yield* examined({
        versioning: reply(200, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"),
        lifecycle: lifecycleXml(
          "<ID>old</ID><Filter><Prefix/></Filter><Expiration><Days>30</Days></Expiration>",
          "<ID>cold</ID><Prefix>blobs/</Prefix><Transition><Days>9</Days><StorageClass>GLACIER</StorageClass></Transition>",
          "<ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Expiration><Days>1</Days></Expiration>",
          "<ID>parts</ID><Filter><Prefix/></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
        )
      })
      assert.deepStrictEqual(of(all, "versions"), [
        "problem: It is not said what a delete does in a bucket with versions"
      ])
      assert.deepStrictEqual(of(all, "lifecycle"), [
        'problem: The rule "old" deletes blobs that are in use',
        'problem: The rule "cold" for blobs/ archives blobs that are in use'
      ])
      const locked = yield* examined(
        {
          "object-lock": reply(
            200,
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
          ),
          lifecycle: lifecycleXml(
            "<Filter><Prefix>uploads/</Prefix></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
          )
        },
        { variables: { GC_UPLOAD_GRACE: "3 days" } }
      )
      assert.deepStrictEqual(of(locked.all, "versions"), ["warning: Objects may be locked"])
      assert.deepStrictEqual(of(locked.all, "lifecycle"), [
        "warning: A rule without a name for uploads/ aborts uploads that are under way"
      ])
    }).pipe(Effect.scoped)
  )

  it.live("follows a signed link, which no finding shows", () =>
    Effect.gen(function* () {
      const variables = { SERVE_REDIRECT: "presigned", GC_DELETE_DELAY: "1 hour" }
      const signed: Array<string> = []
      const answerLinks =
        (status: number): Answer =>
        (asked, response, request) => {
          const isLink = asked.url.includes("X-Amz-Signature")
          if (isLink) signed.push(asked.url)
          return (isLink ? reply(status) : usual.get)(asked, response, request)
        }
      const works = yield* examined({ get: answerLinks(206) }, { variables })
      assert.deepStrictEqual(of(works.all, "presigned"), ["ok: A signed link works"])
      const refused = yield* examined({ get: answerLinks(403) }, { variables })
      assert.deepStrictEqual(of(refused.all, "presigned"), ["problem: A signed link does not work"])
      const unused = yield* examined({ get: answerLinks(403) })
      assert.deepStrictEqual(of(unused.all, "presigned"), ["note: A signed link does not work"])
      assert.lengthOf(signed, 3)
      assert.notMatch(JSON.stringify(refused.all), /X-Amz/)
    }).pipe(Effect.scoped)
  )

  it.live("with --write writes, reads and deletes one object, and nothing else", () =>
    Effect.gen(function* () {
      let written = ""
      const remember: Answer = (asked, response, request) => {
        written = decodeURIComponent(new URL(asked.url, "http://x").pathname.slice("/bucket/".length))
        return reply(200)(asked, response, request)
      }
      const gone: Answer = (asked, response, request) =>
        reply(200, deleteXml([written], []))(asked, response, request)
      const begin = reply(501, errorXml("NotImplemented"))
      const listed: Answer = (asked, response, request) =>
        (asked.method === "POST" ? begin : usual.uploads)(asked, response, request)
      const { all, asked } = yield* examined(
        { put: remember, delete: gone, uploads: listed },
        { write: true }
      )
      assert.deepStrictEqual(of(all, "writing"), ["ok: An object can be written, read and deleted"])
      assert.match(written, /^blobs\/artifact-gc-doctor-probe-[0-9a-f]+$/)
      const deletes = asked.filter((entry) => purposeOf(entry) === "delete")
      assert.lengthOf(deletes, 1)
      assert.deepStrictEqual(
        [...(deletes[0]?.body.toString() ?? "").matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key),
        [written]
      )
      const kept = yield* examined(
        {
          put: remember,
          delete: (entry, response, request) =>
            reply(200, deleteXml([], [[written, "AccessDenied"]]))(entry, response, request),
          uploads: listed
        },
        { write: true }
      )
      assert.match(of(kept.all, "writing").join(), /^problem: Objects cannot be deleted, and blobs.* stays$/)
      assert.match(fixes(kept.all, "writing").join(), /s3:DeleteObject/)
    }).pipe(Effect.scoped)
  )

  it.live("with --write leaves a bucket alone that would keep the object", () =>
    Effect.gen(function* () {
      const { all, asked } = yield* examined(
        {
          versioning: reply(
            200,
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
          ),
          uploads: (entry, response, request) =>
            (entry.method === "POST" ? reply(501, errorXml("NotImplemented")) : usual.uploads)(
              entry,
              response,
              request
            )
        },
        { write: true }
      )
      assert.deepStrictEqual(of(all, "writing"), ["note: Writing and deleting were not tried"])
      assert.isFalse(asked.some(({ method }) => method === "PUT" || method === "DELETE"))
    }).pipe(Effect.scoped)
  )
})
