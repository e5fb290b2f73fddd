/** Names and values that a slip of the hand produces: each is refused by its name, and the program does nothing. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { editsBetween } from "../../src/domain/closest.ts"
import { own, problems } from "./reading.ts"

describe("a variable that is no setting", () => {
  const refused: Readonly<Record<string, string>> = {
    GC_GRACEE: "GC_GRACEE: not a setting. Did you mean GC_GRACE?",
    GC_QUARENTINE: "GC_QUARENTINE: not a setting. Did you mean GC_QUARANTINE?",
    GC_GRACE_PERIOD: "GC_GRACE_PERIOD: not a setting. Did you mean GC_GRACE?",
    GC_GARCE: "GC_GARCE: not a setting. Did you mean GC_GRACE?",
    gc_grace: "gc_grace: not a setting. Did you mean GC_GRACE?",
    GC_SOMETHING_ELSE: "GC_SOMETHING_ELSE: not a setting",
    REGISTRY_HTPASSWD_FILE: "REGISTRY_HTPASSWD_FILE: not a setting. Did you mean REGISTRY_HTPASSWD?",
    SERVE_TLS_KEY_FILE: "SERVE_TLS_KEY_FILE: not a setting. Did you mean SERVE_TLS_KEY?",
    S3_REGON: "S3_REGON: not a setting. Did you mean S3_REGION?",
    SERVE_PROT: "SERVE_PROT: not a setting. Did you mean SERVE_PORT?",
    REGISTRY_TOKENS: "REGISTRY_TOKENS: not a setting. Did you mean REGISTRY_TOKEN?",
    CATALOG_KEY_COLUM: "CATALOG_KEY_COLUM: not a setting. Did you mean CATALOG_KEY_COLUMN?",
    COLLECTOR_SHEMA: "COLLECTOR_SHEMA: not a setting. Did you mean COLLECTOR_SCHEMA?",
    DATABASE_STATEMENT_TIMOUT:
      "DATABASE_STATEMENT_TIMOUT: not a setting. Did you mean DATABASE_STATEMENT_TIMEOUT?"
  }
  for (const [name, problem] of Object.entries(refused)) {
    it.effect(`${name} is refused`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* problems({ ...own, [name]: "7 days" }), [problem])
        const empty = yield* problems({ ...own, [name]: "" })
        assert.deepStrictEqual(empty, [problem], "also where it is empty")
      })
    )
  }

  const others = [
    "DATABASE_NAME",
    "DATABASE_HOST",
    "S3_ACL",
    "SERVE_STATIC",
    "REGISTRY_PORT",
    "REGISTRY_SERVICE_HOST",
    "REGISTRY_PORT_5000_TCP_ADDR",
    "CATALOG_TITLE",
    "DATA_DIR_OF_OTHERS",
    "GC_SERVICE_HOST",
    "GC_SERVICE_PORT",
    "GC_SERVICE_PORT_HTTP",
    "GC_PORT",
    "GC_PORT_5000_TCP",
    "GC_PORT_5000_TCP_ADDR",
    "GCP_PROJECT",
    "GCC_COLORS",
    "PATH"
  ]
  it.effect("and belongs to another program is let alone", () =>
    Effect.gen(function* () {
      for (const name of others) assert.deepStrictEqual(yield* problems({ ...own, [name]: "x" }), [], name)
    })
  )

  it.effect("and stands beside the setting that it resembles is no typo of it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* problems({ ...own, S3_BUCKETS: "a,b" }), [])
    })
  )

  it("resembles by the number of edits", () => {
    const edits = [
      ["", "", 0],
      ["abc", "", 3],
      ["abc", "abc", 0],
      ["abc", "acb", 1],
      ["abc", "abcd", 1],
      ["abc", "xbc", 1],
      ["abc", "cab", 2]
    ] as const
    for (const [a, b, n] of edits) assert.strictEqual(editsBetween(a, b), n, `${a} ${b}`)
  })
})

describe("a value that cannot be meant", () => {
  const refused: ReadonlyArray<readonly [string, string, string]> = [
    ["S3_BUCKET", "s3://bkt", "write the name of the bucket alone, without s3:// and without a path"],
    ["S3_BUCKET", "my bucket", "write the name of the bucket alone, without s3:// and without a path"],
    ["S3_BUCKET", "bkt/path", "write the name of the bucket alone, without s3:// and without a path"],
    [
      "DATABASE_URL",
      "postgres://",
      "not a postgres URL with a host; write postgres://user:password@host:port/database, special characters percent-encoded"
    ],
    ["GC_BLOB_PREFIX", "/", 'must not begin with "/" or contain "//": each part names a folder'],
    ["GC_BLOB_PREFIX", "blobs//", 'must not begin with "/" or contain "//": each part names a folder'],
    ["GC_BLOB_PREFIX", "/blobs/", 'must not begin with "/" or contain "//": each part names a folder'],
    [
      "GC_BLOB_PREFIX",
      "../blobs/",
      'must not contain "." or "..": a key is a name, and no path is resolved in it'
    ],
    [
      "GC_UPLOAD_PREFIX",
      "a/./b/",
      'must not contain "." or "..": a key is a name, and no path is resolved in it'
    ],
    ["GC_BLOB_PREFIX", `${"x".repeat(800)}/`, "must not exceed 800 bytes, or keys would not fit behind it"],
    ["GC_BLOB_PREFIX", "a\u001bb/", "must not contain control characters"],
    ["GC_GRACE", "60", '60 of what? Write "60 seconds"'],
    ["GC_GRACE", " 1.5 ", '1.5 of what? Write "1.5 seconds"'],
    ["GC_UNTAGGED_GRACE", "60", '60 of what? Write "60 seconds"'],
    ["GC_QUARANTINE", "60", '60 of what? Write "60 seconds"'],
    ["CATALOG_LAST_USED_AT_COLUMN", "None", "write none in lower case if the catalogue has no such column"],
    ["REGISTRY_TOKEN", "secret\n", "must not contain blanks or line ends, because no header can carry them"],
    ["REGISTRY_TOKEN", "two words", "must not contain blanks or line ends, because no header can carry them"]
  ]
  for (const [name, value, problem] of refused) {
    it.effect(`${name}=${JSON.stringify(value.slice(0, 20))} is refused`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* problems({ ...own, [name]: value }), [`${name}: ${problem}`])
      })
    )
  }

  it.effect("is told from one that is unusual", () =>
    Effect.gen(function* () {
      const unusual = {
        S3_BUCKET: "arn:aws:s3:eu-west-1:123456789012:accesspoint/blobs",
        DATABASE_URL: "postgres:///db?host=/var/run/postgresql",
        GC_BLOB_PREFIX: "docker/registry/v2/.blobs/"
      }
      assert.deepStrictEqual(yield* problems(unusual), [])
      assert.deepStrictEqual(yield* problems({ ...own, S3_BUCKET: "tenant:Old_Bucket" }), [])
    })
  )
})
