import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Digest } from "../../../src/domain/Digest.ts"
import { parse, type Target } from "../../../src/oci/http/Target.ts"

const digest = Digest.make(`sha256:${"a".repeat(64)}`)
const long = Digest.make(`sha512:${"0".repeat(128)}`)
const at255 = "a".repeat(255)

const targets: ReadonlyArray<readonly [string, Target]> = [
  ["/v2", { _tag: "Base" }],
  ["/v2/", { _tag: "Base" }],
  ["/v2/_catalog", { _tag: "Catalog" }],
  ["/v2/a/tags/list", { _tag: "Tags", name: "a" }],
  ["/v2/a/b-c/d.e__f/tags/list", { _tag: "Tags", name: "a/b-c/d.e__f" }],
  [`/v2/${at255}/tags/list`, { _tag: "Tags", name: at255 }],
  [`/v2/a/referrers/${digest}`, { _tag: "Referrers", name: "a", digest }],
  [`/v2/a/blobs/${digest}`, { _tag: "Blob", name: "a", digest }],
  [`/v2/a/blobs/${digest.replace(":", "%3A")}`, { _tag: "Blob", name: "a", digest }],
  [`/v2/a/blobs/${long}`, { _tag: "Blob", name: "a", digest: long }],
  ["/v2/a/blobs/uploads", { _tag: "Uploads", name: "a" }],
  ["/v2/a/blobs/uploads/", { _tag: "Uploads", name: "a" }],
  ["/v2/a/b/blobs/uploads/", { _tag: "Uploads", name: "a/b" }],
  ["/v2/a/blobs/uploads/f-0", { _tag: "Upload", name: "a", id: "f-0" }],
  ["/v2/a/manifests/latest", { _tag: "Manifest", name: "a", reference: "latest" }],
  [`/v2/a/manifests/${digest}`, { _tag: "Manifest", name: "a", reference: digest }],
  // Names may have components that are also parts of the API's addresses.
  ["/v2/a/manifests/tags/list", { _tag: "Tags", name: "a/manifests" }],
  ["/v2/blobs/uploads/manifests/v1", { _tag: "Manifest", name: "blobs/uploads", reference: "v1" }],
  [`/v2/a/blobs/blobs/${digest}`, { _tag: "Blob", name: "a/blobs", digest }],
  // A malformed tag is looked up and not found: the conformance suite of v1.0 asks for this one.
  [
    "/v2/a/manifests/.INVALID_MANIFEST_NAME",
    { _tag: "Manifest", name: "a", reference: ".INVALID_MANIFEST_NAME" }
  ]
]

const refused: ReadonlyArray<readonly [string, number, string]> = [
  ["/v2/a", 404, "UNSUPPORTED"],
  ["/v2/a/b", 404, "UNSUPPORTED"],
  ["/v2/a/tags", 404, "UNSUPPORTED"],
  ["/v2/a/tags/lists", 404, "UNSUPPORTED"],
  ["/v2/tags/list", 400, "NAME_INVALID"],
  ["/v2//tags/list", 400, "NAME_INVALID"],
  ["/v2/a//b/tags/list", 400, "NAME_INVALID"],
  ["/v2/A/tags/list", 400, "NAME_INVALID"],
  ["/v2/a_/tags/list", 400, "NAME_INVALID"],
  ["/v2/a/../b/tags/list", 400, "NAME_INVALID"],
  ["/v2/a/%2e%2e/b/tags/list", 400, "NAME_INVALID"],
  ["/v2/a%2Fb/tags/list", 400, "NAME_INVALID"],
  ["/v2/a%00/tags/list", 400, "NAME_INVALID"],
  ["/v2/%/tags/list", 400, "NAME_INVALID"],
  ["/v2/%ff/tags/list", 400, "NAME_INVALID"],
  [`/v2/${at255}a/tags/list`, 400, "NAME_INVALID"],
  ["/v2/a/blobs/sha256:abc", 400, "DIGEST_INVALID"],
  ["/v2/a/blobs/latest", 400, "DIGEST_INVALID"],
  [`/v2/a/blobs/sha256:${"A".repeat(64)}`, 400, "DIGEST_INVALID"],
  [`/v2/a/blobs/md5:${"a".repeat(32)}`, 400, "DIGEST_INVALID"],
  ["/v2/a/referrers/x", 400, "DIGEST_INVALID"],
  ["/v2/a/manifests/sha256:baddigeststring", 400, "DIGEST_INVALID"],
  ["/v2/a/blobs/uploads/..", 404, "BLOB_UPLOAD_UNKNOWN"],
  ["/v2/a/blobs/uploads/%2e%2e%2f", 404, "BLOB_UPLOAD_UNKNOWN"],
  [`/v2/a/blobs/uploads/${"a".repeat(65)}`, 404, "BLOB_UPLOAD_UNKNOWN"]
]

describe("an address", () => {
  it.effect.each(targets)("%s is understood", ([path, target]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* parse(path), target)
    })
  )

  it.effect.each(refused)("%s is refused with %i %s", ([path, status, code]) =>
    Effect.gen(function* () {
      const problem = yield* Effect.flip(parse(path))
      assert.deepStrictEqual([problem.status, ...problem.errors.map((entry) => entry.code)], [status, code])
    })
  )
})
