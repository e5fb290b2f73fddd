import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { type Environment, own, problems, read } from "./reading.ts"

describe("settings that must fit together", () => {
  const cases: ReadonlyArray<readonly [title: string, Environment, ReadonlyArray<RegExp>]> = [
    [
      "a catalogue needs a store",
      { DATABASE_URL: own.DATABASE_URL },
      [/^S3_BUCKET: missing, although DATABASE_URL/]
    ],
    ["a bucket needs a catalogue", { S3_BUCKET: "b" }, [/^DATABASE_URL: missing, although a store/]],
    [
      "a directory needs a catalogue",
      { FILES_DIRECTORY: "/f" },
      [/^DATABASE_URL: missing, although a store/]
    ],
    [
      "there is one store",
      { ...own, FILES_DIRECTORY: "/f" },
      [/^S3_BUCKET: set either S3_BUCKET or FILES_DIRECTORY/]
    ],
    [
      "an access key needs its secret",
      { ...own, S3_ACCESS_KEY_ID: "i" },
      [/^S3_SECRET_ACCESS_KEY: .* go together/]
    ],
    [
      "a secret needs its access key",
      { ...own, S3_SECRET_ACCESS_KEY: "s" },
      [/^S3_SECRET_ACCESS_KEY: .* go together/]
    ],
    [
      "the catalogue's address is a URL",
      { ...own, DATABASE_URL: "host=h dbname=d" },
      [/^DATABASE_URL: not a postgres URL/]
    ],
    [
      "the catalogue is PostgreSQL",
      { ...own, DATABASE_URL: "mysql://h/d" },
      [/^DATABASE_URL: not a postgres URL/]
    ],
    [
      "an endpoint has a protocol",
      { ...own, S3_ENDPOINT: "ceph.example:443" },
      [/^S3_ENDPOINT: not an http or https URL/]
    ],
    ["a time zone exists", { GC_TIME_ZONE: "Europe/Atlantis" }, [/^GC_TIME_ZONE: not an IANA time zone/]],
    [
      "a cron expression has five parts or six",
      { GC_CRON: "30 2" },
      [/^GC_CRON: Invalid number of segments/]
    ],
    ["a cron expression comes true", { GC_CRON: "0 0 31 2 *" }, [/^GC_CRON: no day matches it/]],
    [
      "a lease is twice a request",
      { GC_LEASE: "59999 millis" },
      [/^GC_LEASE: must be at least twice S3_REQUEST_TIMEOUT/]
    ],
    [
      "a collector is remembered from one sweep to the next",
      { GC_INTERVAL: "2 hours", GC_PRESENCE: "181 minutes", GC_JITTER: "61 seconds" },
      [/^GC_PRESENCE: must not be less than from one sweep to the next/]
    ],
    [
      "a collector is remembered from one time of a cron expression to the next",
      { GC_CRON: "0 2 * * 1", GC_PRESENCE: "7 days" },
      [/^GC_PRESENCE: must not be less than from one sweep to the next/]
    ],
    [
      "the longest pause is not below the first",
      { GC_BACKOFF_CAP: "59 seconds" },
      [/^GC_BACKOFF_CAP: must not be less/]
    ],
    ["a prefix is a folder", { GC_UPLOAD_PREFIX: "uploads" }, [/^GC_UPLOAD_PREFIX: must end in "\/"/]],
    ["prefixes differ", { GC_UPLOAD_PREFIX: "blobs/" }, [/^GC_BLOB_PREFIX: must not overlap/]],
    [
      "blobs do not lie below uploads",
      { GC_BLOB_PREFIX: "uploads/blobs/" },
      [/^GC_BLOB_PREFIX: must not overlap/]
    ],
    [
      "uploads do not lie below blobs",
      { GC_UPLOAD_PREFIX: "blobs/u/" },
      [/^GC_BLOB_PREFIX: must not overlap/]
    ],
    [
      "a name needs its password",
      { REGISTRY_USERNAME: "n" },
      [/^REGISTRY_PASSWORD: missing, although REGISTRY_USERNAME/]
    ],
    [
      "a password needs its name",
      { REGISTRY_PASSWORD: "p" },
      [/^REGISTRY_USERNAME: missing, although REGISTRY_PASSWORD/]
    ],
    [
      "a name ends before the colon",
      { REGISTRY_USERNAME: "a:b", REGISTRY_PASSWORD: "p" },
      [/^REGISTRY_USERNAME: must not contain a colon/]
    ],
    [
      "who lets everybody pull wants not everybody to push",
      { REGISTRY_ANONYMOUS_PULL: "true" },
      [/^REGISTRY_ANONYMOUS_PULL: .* everybody may push as well/]
    ],
    [
      "an upload is not taken for dead while it may stand still",
      { REGISTRY_UPLOAD_LEASE: "60 seconds" },
      [/^REGISTRY_UPLOAD_LEASE: must be longer than SERVE_IDLE_TIMEOUT/]
    ],
    [
      "one contradiction hides no other",
      {
        S3_BUCKET: "b",
        FILES_DIRECTORY: "/f",
        S3_ACCESS_KEY_ID: "i",
        S3_ENDPOINT: "e",
        GC_CRON: "x",
        GC_TIME_ZONE: "y",
        GC_BATCH: "0"
      },
      [/^GC_BATCH/, /^S3_BUCKET/, /^S3_SECRET/, /^S3_ENDPOINT/, /^DATABASE_URL/, /^GC_TIME_ZONE/, /^GC_CRON/]
    ]
  ]
  for (const [title, environment, expected] of cases) {
    it.effect(title, () =>
      Effect.gen(function* () {
        const found = yield* problems(environment)
        assert.lengthOf(found, expected.length, found.join("\n"))
        for (const [i, pattern] of expected.entries()) assert.match(found[i] ?? "", pattern)
      })
    )
  }

  it.effect("do so to the last unit", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* problems({ GC_LEASE: "60 seconds", S3_REQUEST_TIMEOUT: "30 seconds" }),
        []
      )
      assert.deepStrictEqual(yield* problems({ GC_BACKOFF_CAP: "1 minute", GC_BACKOFF_BASE: "1 minute" }), [])
      assert.deepStrictEqual(yield* problems({ GC_BLOB_PREFIX: "a/b/", GC_UPLOAD_PREFIX: "a/u/" }), [])
    })
  )

  it.effect("a quarantine follows the grace period unless it is given", () =>
    Effect.gen(function* () {
      const quarantine = (environment: Environment) =>
        Effect.map(read(environment), ({ sweep }) => Duration.format(sweep.quarantine))
      assert.strictEqual(yield* quarantine({ GC_GRACE: "3 hours" }), "3h")
      assert.strictEqual(yield* quarantine({ GC_GRACE: "3 hours", GC_QUARANTINE: "7 days" }), "7d")
    })
  )

  it.effect("a collector is remembered beyond its next sweep unless it is given", () =>
    Effect.gen(function* () {
      const presence = (environment: Environment) =>
        Effect.map(read({ GC_JITTER: "0 seconds", ...environment }), ({ sweep }) =>
          Duration.format(sweep.presence)
        )
      assert.strictEqual(yield* presence({ GC_INTERVAL: "2 days" }), "2d 2h")
      assert.strictEqual(yield* presence({ GC_CRON: "0 2 * * 1", GC_SWEEP_MAX_DURATION: "3 hours" }), "7d 6h")
      const often = { GC_INTERVAL: "1 second", GC_SWEEP_MAX_DURATION: "1 second" }
      assert.strictEqual(yield* presence(often), "10m")
      const exact = { ...often, GC_PRESENCE: "2 seconds", GC_JITTER: "0 seconds" }
      assert.deepStrictEqual(yield* problems(exact), [])
      assert.strictEqual(yield* presence(exact), "2s")
    })
  )

  it.effect("path style is left to the store unless it is given", () =>
    Effect.gen(function* () {
      const { place } = yield* read({ ...own, S3_ENDPOINT: "http://127.0.0.1:9000" })
      assert.deepInclude(place, { _tag: "External" })
      assert.isUndefined(place._tag === "External" && place.store._tag === "S3" && place.store.forcePathStyle)
    })
  )
})
