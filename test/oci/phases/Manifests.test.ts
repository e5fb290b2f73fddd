/** Manifests that nothing needs, what keeps the others, and the breaker that asks before their rows go. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { emptyPhase } from "../../../src/domain/SweepReport.ts"
import { RegistryDatabase } from "../../../src/oci/database/RegistryDatabase.ts"
import { fails, hangsBefore } from "../../../src/testing/Faults.ts"
import {
  artifact,
  blobs,
  bury,
  clean,
  counts,
  day,
  digest,
  hour,
  manifest,
  manifests,
  minute,
  objects,
  snapshot,
  start,
  sweep,
  sweepAfter,
  untag,
  upload,
  World,
  type Wrapper,
  world
} from "../../fixtures/World.ts"

const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, n) => `${prefix}${String(n).padStart(3, "0")}`)

describe("a manifest that nothing needs", () => {
  it.effect("waits from now on if it was untagged while a clock was a year ahead", () =>
    Effect.gen(function* () {
      yield* manifest("a", {})
      const { manifests: verbs } = yield* RegistryDatabase
      const now = yield* Clock.currentTimeMillis
      yield* verbs.redate(now + 365 * day, 0, 10)
      const report = yield* sweep()
      assert.include(report.guards.map(({ message }) => message).join(), "were untagged in the future")
      assert.deepStrictEqual(yield* manifests, ["a"])
      yield* sweepAfter(day - 1)
      assert.deepStrictEqual(yield* manifests, ["a"])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* manifests, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("goes after 24 hours, to the millisecond, and then its blobs as orphans do", () =>
    Effect.gen(function* () {
      yield* upload("layer")
      yield* manifest("a", { layers: ["layer"] })
      assert.deepStrictEqual((yield* sweepAfter(day - 1)).phases.manifests, emptyPhase)
      assert.deepStrictEqual(yield* manifests, ["a"])
      const report = yield* sweepAfter(1)
      assert.deepStrictEqual(counts(report, "manifests"), {
        seen: 1,
        eligible: 1,
        deleted: 0,
        bytes: 0,
        kept: { dropped: 1 },
        failed: {},
        stoppedBy: null
      })
      assert.deepInclude(report.totals, { eligible: 1, deleted: 0, bytes: 0 })
      assert.deepStrictEqual([yield* manifests, yield* blobs], [[], ["a", "layer"]])
      // Seen unreferenced in the same sweep, which therefore condemns after the grace and purges after the quarantine.
      assert.deepInclude(counts(report, "orphans"), { kept: { grace: 2 } })
      yield* sweepAfter(hour)
      assert.deepInclude(counts(yield* sweepAfter(hour), "orphans"), { deleted: 2 })
      assert.deepStrictEqual([yield* blobs, yield* objects], [[], []])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect(
    "waits from when its last tag was taken away or moved on, and from when it was last given out",
    () =>
      Effect.gen(function* () {
        const { rows } = yield* World
        yield* manifest("removed", { tags: ["v1"] })
        yield* manifest("moved", { tags: ["latest"] })
        yield* manifest("pulled")
        yield* TestClock.adjust(12 * hour)
        yield* untag("v1")
        yield* manifest("next", { tags: ["latest"] })
        yield* rows.manifests.touch(yield* Clock.currentTimeMillis, "library", digest("pulled"))
        yield* sweepAfter(day - 1)
        assert.deepStrictEqual(yield* manifests, ["moved", "next", "pulled", "removed"])
        yield* sweepAfter(1)
        assert.deepStrictEqual(yield* manifests, ["next"])
      }).pipe(Effect.provide(world()))
  )

  it.effect("is saved by a tag until the last moment", () =>
    Effect.gen(function* () {
      yield* manifest("a")
      yield* sweepAfter(day - 1)
      yield* manifest("a", { tags: ["v1"] })
      for (let n = 0; n < 5; n++) yield* sweepAfter(day)
      assert.deepStrictEqual([yield* manifests, yield* blobs], [["a"], ["a"]])
    }).pipe(Effect.provide(world()))
  )

  it.effect("stays for ever where that is asked for", () =>
    Effect.gen(function* () {
      yield* manifest("a")
      const { database } = yield* World
      for (let n = 0; n < 3; n++) {
        yield* sweepAfter(100 * day)
        yield* sweep({ dryRun: true })
      }
      assert.deepStrictEqual([yield* manifests, yield* blobs], [["a"], ["a"]])
      assert.isEmpty(database.calls.filter(({ operation }) => operation.startsWith("manifests.")))
    }).pipe(Effect.provide(world({ untaggedGrace: null })))
  )
})

describe("a manifest that something needs", () => {
  it.effect("is kept by its index, and waits for itself when that is gone", () =>
    Effect.gen(function* () {
      for (const name of ["amd64", "arm64"]) yield* manifest(name)
      yield* manifest("index", { lists: ["amd64", "arm64"], tags: ["v1"] })
      for (let n = 0; n < 3; n++) yield* sweepAfter(day)
      assert.strictEqual((yield* manifests).length, 3)
      yield* untag("v1")
      yield* sweepAfter(day - 1)
      assert.strictEqual((yield* manifests).length, 3)
      assert.deepInclude(counts(yield* sweepAfter(1), "manifests"), { eligible: 1 })
      assert.deepStrictEqual(yield* manifests, ["amd64", "arm64"])
      yield* sweepAfter(day - 1)
      assert.deepStrictEqual(yield* manifests, ["amd64", "arm64"])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* manifests, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is kept by its subject, and does not keep it", () =>
    Effect.gen(function* () {
      yield* manifest("image", { tags: ["v1"] })
      yield* manifest("signature", { subject: "image" })
      for (let n = 0; n < 3; n++) yield* sweepAfter(day)
      assert.deepStrictEqual(yield* manifests, ["image", "signature"])
      yield* untag("v1")
      yield* sweepAfter(day)
      assert.deepStrictEqual(yield* manifests, ["signature"])
      yield* sweepAfter(day)
      assert.deepStrictEqual(yield* manifests, [])
    }).pipe(Effect.provide(world()))
  )

  const signed = Effect.gen(function* () {
    const hex = "a".repeat(64)
    yield* manifest(`sha256:${hex}`, { tags: ["v1"] })
    yield* manifest("signature", { tags: [`sha256-${hex}.sig`] })
    yield* manifest("sbom", { subject: `sha256:${hex}`, tags: ["sbom"] })
    yield* manifest("of another", { tags: [`sha256-${"b".repeat(64)}.sig`] })
    for (let n = 0; n < 2; n++) yield* sweepAfter(day)
    assert.lengthOf(yield* manifests, 4)
    yield* untag("v1")
    yield* sweepAfter(day)
    assert.lengthOf(yield* manifests, 3)
    yield* sweepAfter(day)
    return yield* manifests
  })

  it.effect("takes its signatures and tagged referrers with it, a grace later, where that is asked for", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* signed, ["of another"])
      yield* clean
    }).pipe(Effect.provide(world({ referrers: "with-subject" })))
  )

  it.effect("leaves them otherwise", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* signed, ["of another", "sbom", "signature"])
    }).pipe(Effect.provide(world()))
  )

  /** Takes every manifest for one that nothing needs. */
  const blind: Wrapper = (inner, state) => ({
    ...inner,
    manifests: {
      ...inner.manifests,
      expire: (now, _untaggedSince, limit) =>
        Effect.suspend(() => {
          for (const [id, row] of state.manifests) state.manifests.set(id, { ...row, untaggedAt: 0 })
          state.tags.clear()
          return inner.manifests.expire(now, 0, limit)
        })
    }
  })

  const taggedForDays = Effect.gen(function* () {
    yield* upload("layer")
    yield* manifest("a", { layers: ["layer"], tags: ["v1"] })
    for (let n = 0; n < 4; n++) yield* sweepAfter(day)
    return yield* objects
  })

  it.effect("keeps its layers", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* taggedForDays).length, 2)
    }).pipe(Effect.provide(world()))
  )

  it.effect("loses them where its tag is not looked for (control)", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* taggedForDays, [])
    }).pipe(Effect.provide(world({}, blind)))
  )
})

describe("the phase of manifests", () => {
  it.effect("goes page by page to the end", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* Effect.forEach(names("a", 7), (name) => manifest(name))
      yield* manifest("tagged", { tags: ["v1"] })
      assert.deepInclude(counts(yield* sweepAfter(day), "manifests"), { seen: 7, eligible: 7 })
      assert.strictEqual(database.count("manifests.expire"), 5)
      assert.deepStrictEqual(yield* manifests, ["tagged"])
    }).pipe(Effect.provide(world({ batchMax: 2 })))
  )

  it.effect("uses a quarter of the time, the next sweep continues, and the other phases run", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* Effect.forEach(names("a", 6), (name) => manifest(name))
      yield* TestClock.adjust(day)
      yield* bury("dead")
      database.next("manifests.expire", hangsBefore(TestClock.adjust("2 minutes")), 9)
      const first = yield* sweep()
      assert.deepInclude(counts(first, "manifests"), { eligible: 4, stoppedBy: "time" })
      assert.deepInclude(counts(first, "journal"), { deleted: 1 })
      assert.deepInclude(counts(yield* sweep(), "manifests"), { eligible: 2, stoppedBy: null })
    }).pipe(Effect.provide(world({ batchMax: 2, maxDuration: Duration.minutes(12) })))
  )

  it.effect("does not begin when the sweep was asked to stop", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* manifest("a")
      yield* TestClock.adjust(day)
      const report = yield* sweep({ stopping: Effect.succeed(true) })
      assert.deepInclude(counts(report, "manifests"), { eligible: 0, stoppedBy: "stopped" })
      assert.strictEqual(database.count("manifests.expire"), 0)
    }).pipe(Effect.provide(world()))
  )

  it.effect("that fails leaves the others to be collected, and its own work to the next sweep", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* manifest("a")
      yield* TestClock.adjust(day)
      yield* bury("dead")
      database.next("manifests.expire", fails("Contended"))
      const report = yield* sweep()
      assert.include(report.phases.manifests?.error?.message, "manifests.expire failed (Contended)")
      assert.deepInclude(counts(report, "journal"), { deleted: 1 })
      assert.strictEqual(report.outcome, "failed")
      yield* sweep()
      assert.deepStrictEqual(yield* manifests, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("takes nothing that became untagged in the same sweep, so that a dry run is right about it", () =>
    Effect.gen(function* () {
      yield* manifest("child")
      yield* manifest("signature", { subject: "index" })
      yield* manifest("index", { lists: ["child"] })
      yield* TestClock.adjust(1)
      const before = yield* snapshot
      for (const left of [["child", "signature"], []]) {
        const plan = yield* sweep({ dryRun: true })
        if (left.length > 0) assert.deepStrictEqual(yield* snapshot, before)
        const done = yield* sweep()
        assert.deepStrictEqual(counts(plan, "manifests"), counts(done, "manifests"))
        assert.deepStrictEqual(yield* manifests, left)
        yield* TestClock.adjust(1)
      }
    }).pipe(Effect.provide(world({ untaggedGrace: Duration.zero })))
  )
})

describe("the breaker of manifests", () => {
  const bounds = { breakerBlobs: 3, breakerPercent: 20 }

  /** Ten images with a tag each. */
  const images = Effect.forEach(names("image", 10), (name) => manifest(name, { tags: [name] }))
  const tagsLost = (count: number) => Effect.forEach(names("image", count), untag)

  it.effect("opens when too many have outlived their grace, and deletes none of them", () =>
    Effect.gen(function* () {
      yield* images
      yield* tagsLost(4)
      assert.strictEqual((yield* sweepAfter(hour)).outcome, "complete")
      yield* bury("dead")
      const report = yield* sweepAfter(23 * hour)
      assert.deepInclude(report, { outcome: "refused" })
      assert.deepInclude(report.phases.manifests?.error, { tag: "BreakerOpen" })
      const message = report.phases.manifests?.error?.message ?? ""
      assert.include(
        message,
        "4 (40.0 % of 10) manifests lost their tags and have been untagged for longer than GC_UNTAGGED_GRACE; their layers have 4 (40.0 % of 10) bytes. Nothing like it was allowed here in the last 30 days. None"
      )
      assert.deepStrictEqual(report.guards, [{ guard: "breaker", decision: "refused", message }])
      assert.deepInclude(counts(report, "journal"), { deleted: 1 })
      for (let n = 0; n < 3; n++) yield* sweepAfter(day)
      assert.strictEqual((yield* manifests).length, 10)
    }).pipe(Effect.provide(world(bounds)))
  )

  it.effect("without which they are deleted before an operator has looked (control)", () =>
    Effect.gen(function* () {
      yield* images
      yield* tagsLost(4)
      yield* sweepAfter(day)
      assert.strictEqual((yield* manifests).length, 6)
    }).pipe(Effect.provide(world({ ...bounds, breakerPercent: 100 })))
  )

  it.effect("stays closed at its bounds: the number, and the share", () =>
    Effect.gen(function* () {
      yield* images
      yield* tagsLost(3)
      assert.deepInclude(counts(yield* sweepAfter(day), "manifests"), { eligible: 3 })
      yield* Effect.forEach(names("more", 13), (name) => manifest(name, { tags: [name] }))
      yield* Effect.forEach(names("more", 4), untag)
      // 4 of 20.
      assert.deepInclude(counts(yield* sweepAfter(day), "manifests"), { eligible: 4, stoppedBy: null })
    }).pipe(Effect.provide(world(bounds)))
  )

  it.effect("judges all that a sweep may delete, not one batch of it", () =>
    Effect.gen(function* () {
      yield* images
      for (const name of names("image", 4)) {
        yield* untag(name)
        yield* TestClock.adjust(hour)
      }
      yield* sweepAfter(day)
      assert.strictEqual((yield* manifests).length, 10)
    }).pipe(Effect.provide(world({ ...bounds, batchMax: 1 })))
  )

  /** Counts every untagged manifest, those within their grace as well, however it lost its name. */
  const crude: Wrapper = (inner, state) => ({
    ...inner,
    manifests: {
      ...inner.manifests,
      exposure: () =>
        Effect.sync(() => {
          const all = [...state.manifests.values()]
          const untagged = all.filter(({ untaggedAt }) => untaggedAt !== null).length
          return { untagged, total: all.length, bytes: 0, totalBytes: 0 }
        })
    }
  })

  /** Three days in which a build an hour moves `latest` and drops the tag of the sixth oldest; the outcomes of sweeps. */
  const builds = Effect.gen(function* () {
    const outcomes = new Set<string>()
    for (const [n, name] of names("build", 72).entries()) {
      yield* manifest(name, { tags: [name, "latest"] })
      if (n >= 5) yield* untag(names("build", 72)[n - 5] ?? "")
      outcomes.add((yield* sweepAfter(hour)).outcome)
    }
    return [[...outcomes], (yield* manifests).length] as const
  })

  it.effect("stays closed on an ordinary day of builds, whose manifests outlive their grace one by one", () =>
    Effect.gen(function* () {
      // Five that are tagged, and a day's worth that are not.
      assert.deepStrictEqual(yield* builds, [["complete"], 5 + 24 - 1])
    }).pipe(Effect.provide(world(bounds)))
  )

  it.effect("opens on that day where every untagged manifest counts, and nothing is deleted (control)", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* builds, [["complete", "refused"], 72])
    }).pipe(Effect.provide(world(bounds, crude)))
  )

  /** A push of an index by digest: all its children first, a sweep between any two. */
  const indexPushed = Effect.gen(function* () {
    const outcomes = new Set<string>()
    const children = names("child", 12)
    for (const name of children) {
      yield* manifest(name)
      outcomes.add((yield* sweepAfter(minute)).outcome)
    }
    yield* manifest("index", { lists: children, tags: ["v1"] })
    for (let n = 0; n < 3; n++) outcomes.add((yield* sweepAfter(day)).outcome)
    assert.strictEqual((yield* manifests).length, 13)
    return [...outcomes]
  })

  it.effect("stays closed while the children of an index arrive before it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* indexPushed, ["complete"])
    }).pipe(Effect.provide(world(bounds)))
  )

  it.effect("opens while they arrive where every untagged manifest counts (control)", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* indexPushed, ["complete", "refused"])
    }).pipe(Effect.provide(world(bounds, crude)))
  )

  it.effect(
    "stays open when tags are put back, until a person confirms; what stood untagged then may go",
    () =>
      Effect.gen(function* () {
        const { rows } = yield* World
        yield* images
        yield* tagsLost(5)
        yield* sweepAfter(day)
        for (const name of names("image", 2)) yield* manifest(name, { tags: [name] })
        assert.strictEqual((yield* sweepAfter(day)).outcome, "refused")
        assert.deepStrictEqual(yield* rows.breakers.confirm(yield* Clock.currentTimeMillis), ["manifests"])
        assert.deepInclude(counts(yield* sweepAfter(1), "manifests"), { eligible: 3 })
        assert.strictEqual((yield* manifests).length, 7)
        // Since the confirmation none, and then as many as before.
        yield* Effect.forEach(names("image", 2), untag)
        assert.strictEqual((yield* sweepAfter(hour)).outcome, "complete")
        yield* Effect.forEach(names("image", 10).slice(5, 7), untag)
        assert.strictEqual((yield* sweepAfter(day)).outcome, "refused")
      }).pipe(Effect.provide(world(bounds)))
  )

  it.effect("that another collector opens ends this one's work, too", () =>
    Effect.gen(function* () {
      const { database, rows } = yield* World
      yield* Effect.forEach(names("a", 6), (name) => manifest(name))
      yield* TestClock.adjust(day)
      const exposure = { blobs: 9, bytes: 0, totalBlobs: 9, totalBytes: 0 }
      database.next("manifests.expire", hangsBefore(Effect.void))
      database.next(
        "manifests.expire",
        hangsBefore(Effect.orDie(rows.breakers.trip("manifests", start + day, exposure)))
      )
      const report = yield* sweep()
      assert.deepInclude(counts(report, "manifests"), { eligible: 4, stoppedBy: "failure" })
      assert.strictEqual((yield* manifests).length, 2)
    }).pipe(Effect.provide(world({ batchMax: 2 })))
  )

  it.effect("is foreseen by a dry run, which opens nothing", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      yield* images
      yield* tagsLost(4)
      yield* TestClock.adjust(day)
      const plan = yield* sweep({ dryRun: true })
      assert.deepInclude(counts(plan, "manifests"), { eligible: 4 })
      assert.include(
        plan.phases.manifests?.error?.message,
        "A sweep would trip the breaker: 4 (40.0 % of 10)"
      )
      assert.isNull((yield* rows.breakers.read("manifests")).trippedAt)
      assert.strictEqual((yield* sweepAfter(minute)).outcome, "refused")
      const open = yield* sweep({ dryRun: true })
      assert.include(open.phases.manifests?.error?.message, "The breaker is open since")
    }).pipe(Effect.provide(world(bounds)))
  )

  it.effect("holds back manifests only: orphans and leftovers are judged by their own", () =>
    Effect.gen(function* () {
      yield* images
      yield* tagsLost(4)
      yield* TestClock.adjust(day)
      yield* upload("orphan")
      yield* upload("live", { references: [artifact("v1", "live")] })
      for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
      assert.notInclude(yield* blobs, "orphan")
      assert.strictEqual((yield* blobs).length, 11)
    }).pipe(Effect.provide(world(bounds)))
  )
})
