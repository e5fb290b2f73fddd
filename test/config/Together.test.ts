import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { type Environment, own, problems, read } from "./reading.ts"

describe("settings that must fit together", () => {
  const cases: ReadonlyArray<readonly [title: string, Environment, ReadonlyArray<RegExp>]> = [
    [
      "refuse a catalogue without a store",
      { DATABASE_URL: own.DATABASE_URL },
      [/^S3_BUCKET: missing, although DATABASE_URL/]
    ],
    ["refuse a bucket without a catalogue", { S3_BUCKET: "b" }, [/^DATABASE_URL: missing, although a store/]],
    [
      "refuse a directory without a catalogue",
      { FILES_DIRECTORY: "/f" },
      [/^DATABASE_URL: missing, although a store/]
    ],
    [
      "refuse two stores",
      { ...own, FILES_DIRECTORY: "/f" },
      [/^S3_BUCKET: set either S3_BUCKET or FILES_DIRECTORY/]
    ],
    [
      "refuse an access key without its secret",
      { ...own, S3_ACCESS_KEY_ID: "i" },
      [/^S3_SECRET_ACCESS_KEY: set .* together, or neither/]
    ],
    [
      "refuse a secret without its access key",
      { ...own, S3_SECRET_ACCESS_KEY: "s" },
      [/^S3_SECRET_ACCESS_KEY: set .* together, or neither/]
    ],
    [
      "refuse a catalogue's address that is no URL",
      { ...own, DATABASE_URL: "host=h dbname=d" },
      [/^DATABASE_URL: not a postgres URL/]
    ],
    [
      "refuse a catalogue that is not PostgreSQL",
      { ...own, DATABASE_URL: "mysql://h/d" },
      [/^DATABASE_URL: not a postgres URL/]
    ],
    [
      "refuse an endpoint without a protocol",
      { ...own, S3_ENDPOINT: "ceph.example:443" },
      [/^S3_ENDPOINT: not an http or https URL/]
    ],
    [
      "refuse an endpoint with a login, which descriptions would show",
      { ...own, S3_ENDPOINT: "https://key:secret@ceph.example" },
      [/^S3_ENDPOINT: has a user or a password/]
    ],
    [
      "refuse an address for clients with a login",
      { ...own, SERVE_REDIRECT_ENDPOINT: "https://key@cdn.example" },
      [/^SERVE_REDIRECT_ENDPOINT: has a user or a password/]
    ],
    [
      "refuse an unknown time zone",
      { GC_TIME_ZONE: "Europe/Atlantis" },
      [/^GC_TIME_ZONE: not an IANA time zone/]
    ],
    ["refuse a cron expression of two parts", { GC_CRON: "30 2" }, [/^GC_CRON: Invalid number of segments/]],
    [
      "refuse a cron expression that no day matches",
      { GC_CRON: "0 0 31 2 *" },
      [/^GC_CRON: no day matches it/]
    ],
    [
      "refuse a lease shorter than two requests",
      { GC_LEASE: "59999 millis" },
      [/^GC_LEASE: must be at least twice S3_REQUEST_TIMEOUT/]
    ],
    [
      "refuse to forget a collector before the next sweep of an interval",
      { GC_INTERVAL: "2 hours", GC_PRESENCE: "181 minutes", GC_JITTER: "61 seconds" },
      [/^GC_PRESENCE: must not be less than the time from one sweep to the next/]
    ],
    [
      "refuse to forget a collector before the next time of a cron expression",
      { GC_CRON: "0 2 * * 1", GC_PRESENCE: "7 days" },
      [/^GC_PRESENCE: must not be less than the time from one sweep to the next/]
    ],
    [
      "refuse a longest back-off below the first",
      { GC_BACKOFF_CAP: "59 seconds" },
      [/^GC_BACKOFF_CAP: must not be less/]
    ],
    [
      "refuse a prefix that is no folder",
      { GC_UPLOAD_PREFIX: "uploads" },
      [/^GC_UPLOAD_PREFIX: must end in "\/"/]
    ],
    [
      "refuse the collector's tables among the catalogue's",
      { COLLECTOR_SCHEMA: "public" },
      [/^COLLECTOR_SCHEMA: must not be CATALOG_SCHEMA/]
    ],
    ["refuse a zone that is none", { CATALOG_TIME_ZONE: "Mars/Olympus" }, [/^CATALOG_TIME_ZONE: is no IANA/]],
    ["refuse equal prefixes", { GC_UPLOAD_PREFIX: "blobs/" }, [/^GC_BLOB_PREFIX: must not overlap/]],
    [
      "refuse blobs below uploads",
      { GC_BLOB_PREFIX: "uploads/blobs/" },
      [/^GC_BLOB_PREFIX: must not overlap/]
    ],
    ["refuse uploads below blobs", { GC_UPLOAD_PREFIX: "blobs/u/" }, [/^GC_BLOB_PREFIX: must not overlap/]],
    [
      "refuse addresses in a store of files",
      {
        DATABASE_URL: own.DATABASE_URL,
        FILES_DIRECTORY: "/f",
        SERVE_REDIRECT: "presigned",
        GC_DELETE_DELAY: "1 hour"
      },
      [/^SERVE_REDIRECT: this store has no addresses for clients/]
    ],
    [
      "refuse addresses that work for as long as the object may last",
      {
        ...own,
        SERVE_REDIRECT: "presigned",
        SERVE_REDIRECT_LIFE: "20 minutes",
        GC_DELETE_DELAY: "20 minutes"
      },
      [/^GC_DELETE_DELAY: must be longer than SERVE_REDIRECT_LIFE \(20m\)/]
    ],
    [
      "refuse addresses for longer than S3 signs them",
      { ...own, SERVE_REDIRECT: "presigned", SERVE_REDIRECT_LIFE: "8 days", GC_DELETE_DELAY: "9 days" },
      [/^SERVE_REDIRECT_LIFE: S3 allows at most 7 days/]
    ],
    [
      "refuse an endpoint for clients without a protocol",
      { ...own, SERVE_REDIRECT_ENDPOINT: "ceph.example" },
      [/^SERVE_REDIRECT_ENDPOINT: not an http or https URL/]
    ],
    [
      "refuse a name without its password",
      { REGISTRY_USERNAME: "n" },
      [/^REGISTRY_PASSWORD: missing, although REGISTRY_USERNAME/]
    ],
    [
      "refuse a password without its name",
      { REGISTRY_PASSWORD: "p" },
      [/^REGISTRY_USERNAME: missing, although REGISTRY_PASSWORD/]
    ],
    [
      "refuse a name with a colon",
      { REGISTRY_USERNAME: "a:b", REGISTRY_PASSWORD: "p" },
      [/^REGISTRY_USERNAME: must not contain a colon/]
    ],
    [
      "refuse anonymous pulls where every client may push",
      { REGISTRY_ANONYMOUS_PULL: "true" },
      [/^REGISTRY_ANONYMOUS_PULL: .* every client may push as well/]
    ],
    [
      "refuse an upload lease within which a body may pause",
      { REGISTRY_UPLOAD_LEASE: "60 seconds" },
      [/^REGISTRY_UPLOAD_LEASE: must be longer than SERVE_IDLE_TIMEOUT/]
    ],
    [
      "report every contradiction at once",
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

  it.effect("are accepted exactly at their bounds", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* problems({ GC_LEASE: "60 seconds", S3_REQUEST_TIMEOUT: "30 seconds" }),
        []
      )
      assert.deepStrictEqual(yield* problems({ GC_BACKOFF_CAP: "1 minute", GC_BACKOFF_BASE: "1 minute" }), [])
      assert.deepStrictEqual(yield* problems({ GC_BLOB_PREFIX: "a/b/", GC_UPLOAD_PREFIX: "a/u/" }), [])
    })
  )

  it.effect("take the grace period as quarantine unless it is given", () =>
    Effect.gen(function* () {
      const quarantine = (environment: Environment) =>
        Effect.map(read(environment), ({ sweep }) => Duration.format(sweep.quarantine))
      assert.strictEqual(yield* quarantine({ GC_GRACE: "3 hours" }), "3h")
      assert.strictEqual(yield* quarantine({ GC_GRACE: "3 hours", GC_QUARANTINE: "7 days" }), "7d")
    })
  )

  it.effect("remember a collector beyond its next sweep unless a time is given", () =>
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

  it.effect("read a duration as commands print it", () =>
    Effect.gen(function* () {
      const { sweep } = yield* read({ GC_GRACE: "1h 30m", GC_QUARANTINE: "7d" })
      assert.strictEqual(Duration.format(sweep.grace), "1h 30m")
      assert.strictEqual(Duration.format(sweep.quarantine), "7d")
      const [problem] = yield* problems({ GC_GRACE: "90" })
      assert.include(problem, "90 of what?")
    })
  )

  it.effect("leave path style to the store unless it is given", () =>
    Effect.gen(function* () {
      const { place } = yield* read({ ...own, S3_ENDPOINT: "http://127.0.0.1:9000" })
      assert.deepInclude(place, { _tag: "External" })
      assert.isUndefined(place._tag === "External" && place.store._tag === "S3" && place.store.forcePathStyle)
    })
  )
})
