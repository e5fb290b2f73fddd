/** The status of a catalogue's collectors, over memory: each state that an operator meets, and what it advises. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, JsonSchema, Layer, Schema, SchemaRepresentation } from "effect"
import { status as statusText } from "../../src/cli/StatusText.ts"
import type { Peer } from "../../src/database/Database.ts"
import type { AuditSummary } from "../../src/domain/AuditReport.ts"
import { emptyPhase, type SweepReport } from "../../src/domain/SweepReport.ts"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import { read } from "../../src/status/Read.ts"
import { queueNames, Status } from "../../src/status/Status.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import type { Storage } from "../../src/storage/Storage.ts"
import { defaultSettings } from "../../src/sweep/Settings.ts"
import { type Databases as AllDatabases, Database } from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { blobs, condemned, dead, hour, minute, now, orphan, write } from "../fixtures/samples.ts"
import type { Tables } from "../fixtures/Tables.ts"

/** The published schema, read back: what a monitoring script relies on. */
const documented = SchemaRepresentation.fromJsonSchemaDocument(
  JsonSchema.fromSchemaDraft2020_12(
    JSON.parse(readFileSync(new URL("../../docs/status.schema.json", import.meta.url), "utf8"))
  )
)

it("control: the published schema refuses a status without its health", () => {
  assert.isFalse(Schema.is(documented)({ at: "2026-11-30T00:00:00.000Z" }))
})

const status = (at: number) =>
  Effect.tap(read(at, { settings: defaultSettings, phases: registryPhases }), (found) =>
    // It is plain data: what is printed can be read back.
    Effect.sync(() => {
      const printed = JSON.parse(JSON.stringify(found))
      assert.deepStrictEqual(Schema.decodeUnknownSync(Status)(printed), found)
      assert.isTrue(Schema.is(documented)(printed), "as docs/status.schema.json says")
    })
  )

const waiting = (id: string, settings: Peer["settings"] = {}) => ({
  id,
  settings,
  activity: { at: now, sweep: null, nextDueAt: now + hour }
})

const says = ({ advice }: Status) => advice.map(({ command, severity }) => `${severity}: ${command}`)

/** An audit that found three ownerless objects and journaled one of them. */
const audited = (rest: Partial<AuditSummary>): AuditSummary => ({
  _tag: "AuditSummary",
  complete: true,
  stoppedBy: null,
  prefix: "",
  after: null,
  lastKey: null,
  startedAt: new Date(now).toISOString(),
  durationMillis: 1,
  listed: { objects: 4, bytes: 40 },
  rows: { objects: 1, bytes: 10 },
  sound: 1,
  digests: { verified: 0, bytes: 0, unverifiable: 0 },
  underWay: { objects: 0, bytes: 0 },
  awaitingDeletion: { objects: 0, bytes: 0 },
  staged: { objects: 0, bytes: 0 },
  young: { objects: 0, bytes: 0 },
  settled: 0,
  findings: {
    ownerless: { objects: 3, bytes: 30 },
    missing: { objects: 0, bytes: 0 },
    sizeMismatches: 0,
    digestMismatches: 0
  },
  repaired: { objects: 1, bytes: 10, dueAt: new Date(now).toISOString() },
  ...rest
})

const report = (outcome: SweepReport["outcome"], rest: Partial<SweepReport> = {}): SweepReport => ({
  sweep: "s",
  startedAt: new Date(now - minute).toISOString(),
  durationMillis: minute,
  dryRun: false,
  outcome,
  guards: [],
  store: null,
  phases: {
    uploads: emptyPhase,
    multiparts: emptyPhase,
    suspects: emptyPhase,
    orphans: emptyPhase,
    leftovers: emptyPhase,
    journal: emptyPhase
  },
  totals: { eligible: 0, deleted: 0, bytes: 0, reclaimedBytes: 0, failed: 0 },
  left: null,
  ...rest
})

/** Records a sweep of collector `a` that ended at `endedAt`. */
const swept = (endedAt: number, ended: SweepReport) =>
  Effect.flatMap(Database, ({ history }) =>
    history.record({ sweep: "s", collector: "a", startedAt: endedAt - minute, endedAt, report: ended }, 0, {
      at: endedAt,
      sweep: null,
      nextDueAt: endedAt + hour
    })
  )

/** A collector that waits, and whose last sweep was complete. */
const healthy = Effect.gen(function* () {
  const { peers } = yield* Database
  yield* peers.register(now - minute, now + hour, waiting("a"))
  yield* swept(now, report("complete"))
})

describe("the status", () => {
  const shows = (
    sentence: string,
    steps: () => Effect.Effect<void, unknown, Database | AllDatabases | Tables | Storage>
  ) =>
    it.effect(sentence, () =>
      Effect.provide(Effect.suspend(steps), Layer.merge(Databases.memory, MemoryStorage.layer))
    )

  shows("of a catalogue without a collector is broken, and names the command that starts one", () =>
    Effect.gen(function* () {
      const found = yield* status(now)
      assert.strictEqual(found.activity, "absent")
      assert.strictEqual(found.health, "broken")
      assert.deepStrictEqual(says(found), ["broken: artifact-gc run"])
      assert.isNull(found.last)
    })
  )

  shows("of a collector that waits is ok, with its last and next sweep and every queue", () =>
    Effect.gen(function* () {
      yield* healthy
      yield* write({ blobs: blobs(1, 2), orphans: [orphan(1, now - 2 * hour), condemned(2, now)] })
      const found = yield* status(now)
      assert.strictEqual(found.health, "ok")
      assert.deepStrictEqual(found.advice, [])
      assert.strictEqual(found.activity, "waiting")
      assert.strictEqual(found.last?.outcome, "complete")
      assert.strictEqual(found.lastSuccessAt, found.last?.endedAt)
      assert.strictEqual(found.nextDueAt, new Date(now + hour).toISOString())
      assert.deepStrictEqual(
        found.queues.map(({ queue }) => queue),
        [...queueNames]
      )
      const orphans = found.queues.find(({ queue }) => queue === "orphans")
      assert.deepInclude(orphans, { length: 1, overdueMillis: hour })
    })
  )

  shows("has the due times by which the collectors at work delete, whatever its own waits are", () =>
    Effect.gen(function* () {
      const { peers } = yield* Database
      yield* healthy
      yield* write({ blobs: blobs(1, 2), orphans: [orphan(1, now), condemned(2, now)] })
      const told = waiting("a", { GC_GRACE: "10s", GC_QUARANTINE: "1m 30s" })
      yield* peers.register(now, now + hour, told)
      const { queues } = yield* status(now)
      const due = (name: string) => queues.find(({ queue }) => queue === name)?.dueAt
      assert.strictEqual(due("orphans"), new Date(now + 10_000).toISOString())
      assert.strictEqual(due("condemned"), new Date(now + 90_000).toISOString())
    })
  )

  shows("of a sweep under way has its phases with rate and end", () =>
    Effect.gen(function* () {
      yield* healthy
      const { peers } = yield* Database
      const phase = { phase: "journal", seen: 200, deleted: 100, bytes: 5, expected: 400, since: now }
      yield* peers.tell(
        "a",
        {
          at: now + 10_000,
          sweep: { name: "t", startedAt: now, phases: [{ ...phase, phase: "orphans" }, phase] },
          nextDueAt: null
        },
        null
      )
      const found = yield* status(now + minute)
      assert.strictEqual(found.activity, "sweeping")
      const [orphans, journal] = found.collectors[0]?.sweep?.phases ?? []
      assert.deepInclude(journal, { perSecond: 10, endsAt: new Date(now + 40_000).toISOString() })
      assert.isNull(orphans?.endsAt, "it has ended")
    })
  )

  shows("of a sweep under way names what failed so far, and that it was not heard of for a minute", () =>
    Effect.gen(function* () {
      yield* healthy
      const { peers } = yield* Database
      const phases = [{ phase: "uploads", seen: 0, deleted: 0, bytes: 0, expected: null, since: now }]
      const failures = [{ phase: "uploads", message: "The store does not answer." }]
      const telling = (sweep: object) =>
        peers.tell(
          "a",
          { at: now + 1, sweep: { name: "t", startedAt: now, phases, ...sweep }, nextDueAt: null },
          null
        )
      yield* telling({})
      assert.deepStrictEqual(says(yield* status(now + minute)), [])
      const silent = yield* status(now + 2 * minute)
      assert.strictEqual(silent.health, "attention")
      assert.include(silent.advice[0]?.what, "was last heard of at")
      yield* telling({ failures })
      const failing = yield* status(now + 2)
      assert.deepStrictEqual(failing.collectors[0]?.sweep?.failures, failures)
      assert.strictEqual(failing.health, "attention")
      assert.include(failing.advice[0]?.what, "uploads: The store does not answer.")
      yield* swept(now + 2, report("complete"))
      yield* telling({ failures })
      assert.deepStrictEqual(
        (yield* status(now + 2 * minute)).advice.map(({ severity }) => severity),
        ["info"],
        "a sweep of another collector succeeded since, so this one was killed"
      )
    })
  )

  shows("of a sweep that did not count its keys expects those that are due", () =>
    Effect.gen(function* () {
      yield* healthy
      const { peers } = yield* Database
      yield* write({ journal: [dead(1, { notBefore: now }), dead(2, { notBefore: now + hour })] })
      const phase = { phase: "journal", seen: 9, deleted: 9, bytes: 5, expected: null, since: now }
      const sweep = { name: "t", startedAt: now, phases: [phase] }
      yield* peers.tell("a", { at: now + 9000, sweep, nextDueAt: null }, null)
      const found = yield* status(now + 9000)
      assert.deepInclude(found.collectors[0]?.sweep?.phases[0], {
        expected: 10,
        endsAt: new Date(now + 10_000).toISOString()
      })
      const text = statusText(found)
      assert.match(text, /^OK\. Sweeping\.\n/)
      assert.include(text, "journal: 9 seen, 9 of 10 deleted, 5 B, 1/s, ends in 1.0 s")
    })
  )

  shows("names what stops collection, worst first, and the command for each", () =>
    Effect.gen(function* () {
      yield* healthy
      const { breakers, control, peers } = yield* Database
      const refusal = { guard: "clock", decision: "refused", message: "The clocks differ." } as const
      yield* swept(now + 1, report("refused", { guards: [refusal] }))
      yield* breakers.trip("orphans", now, { blobs: 9, bytes: 9, totalBlobs: 10, totalBytes: 10 })
      yield* write({ journal: [dead(1, { deadAt: now })] })
      yield* peers.register(now, now + hour, waiting("b", { GC_GRACE: "1h" }))
      yield* peers.register(now, now + hour, waiting("c", { GC_GRACE: "2h" }))
      yield* control.pause({ since: now, by: "op", reason: "restore", until: null })
      yield* control.set({
        name: "GC_INTERVAL",
        value: "1 day",
        since: now,
        by: "op",
        reason: "r",
        until: null
      })
      const found = yield* status(now + 2)
      assert.strictEqual(found.health, "broken")
      assert.strictEqual(found.activity, "paused")
      assert.isNull(found.nextDueAt)
      assert.deepStrictEqual(says(found), [
        "broken: artifact-gc doctor",
        "attention: artifact-gc breaker",
        "attention: artifact-gc journal",
        "attention: artifact-gc collectors",
        "attention: artifact-gc resume",
        "info: artifact-gc unset GC_INTERVAL"
      ])
      assert.include(found.advice[0]?.what, "The clocks differ.")
    })
  )

  shows("tells a sweep that is late, a queue that is overdue, and a timer that stopped", () =>
    Effect.gen(function* () {
      const { peers } = yield* Database
      yield* healthy
      yield* peers.register(now, now + 99 * hour, waiting("a"))
      yield* write({ orphans: [orphan(1, now - 8 * hour)], blobs: blobs(1) })
      const late = yield* status(now + 5 * hour)
      assert.strictEqual(late.health, "broken")
      assert.include(late.advice[0]?.what, "has not begun")
      assert.include(late.advice[1]?.what, "orphans is overdue")
      yield* peers.leave("a")
      const severities = [1, 26, 51].map((hours) =>
        Effect.map(status(now + hours * hour), ({ health }) => health)
      )
      assert.deepStrictEqual(yield* Effect.all(severities), ["ok", "attention", "broken"])
    })
  )

  shows("tells what the last audit found, and that damaged blobs need attention", () =>
    Effect.gen(function* () {
      yield* healthy
      const { audit } = yield* Database
      assert.isNull((yield* status(now + 1)).lastAudit)
      yield* audit.record({ endedAt: now, summary: audited({}) })
      const sound = yield* status(now + 1)
      assert.deepStrictEqual(sound.lastAudit, {
        endedAt: new Date(now).toISOString(),
        ownerless: { objects: 2, bytes: 20 },
        missing: { objects: 0, bytes: 0 },
        sizeMismatches: 0,
        digestMismatches: 0
      })
      assert.strictEqual(sound.health, "ok")
      assert.include(statusText(sound), "Last audit: 0.0 s ago, 2 ownerless objects of 20 B, 0 blobs missing")
      const missing = { ...audited({}).findings, missing: { objects: 1, bytes: 5 } }
      yield* audit.record({ endedAt: now, summary: audited({ findings: missing }) })
      const found = yield* status(now + 1)
      assert.deepStrictEqual(says(found), ["attention: artifact-gc audit"])
      yield* audit.record({ endedAt: now, summary: { _tag: "AuditSummary" } as never })
      assert.isNull((yield* status(now + 1)).lastAudit, "another version wrote it")
    })
  )

  shows("reads a history in which another version wrote", () =>
    Effect.gen(function* () {
      yield* healthy
      yield* swept(now + 1, { outcome: "postponed" } as never)
      const found = yield* status(now + 2)
      assert.deepInclude(found.last, { outcome: "postponed", report: null })
      assert.strictEqual(found.lastSuccessAt, new Date(now).toISOString())
    })
  )
})
