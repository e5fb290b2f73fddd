/** Reports about the database, on PostgreSQL with several connections. See docs/design/incidents.md. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Result } from "effect"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import { hangsBefore } from "../../src/testing/Faults.ts"
import { before, purgeStatement } from "../fixtures/Arena.ts"
import type { Server } from "../fixtures/Databases.ts"
import { keyOf, refer, scene, store } from "../fixtures/incidents/Scene.ts"
import { digest } from "../fixtures/samples.ts"

const unknownReferences = (server: Server): void => {
  /** Sweeps two orphans after statements of a writer that knows nothing of the collector. */
  const sweptWith = (...statements: ReadonlyArray<string>) => sweptBeside([], ...statements)
  const sweptBeside = Effect.fnUntraced(function* (
    notReferences: ReadonlyArray<string>,
    ...statements: ReadonlyArray<string>
  ) {
    const s = yield* scene(server, { isOwn: true })
    for (const n of [1, 2]) yield* store(s.database, s.storage, n)
    for (const statement of statements) yield* s.hand(statement)
    const report = yield* (yield* s.collector({}, { ...defaultNames, notReferences })).once()
    return { objects: [...s.objects.keys()], report }
  })
  const signatures = (references: string) => [
    `CREATE TABLE signatures (id serial PRIMARY KEY, digest text COLLATE "C" NOT NULL ${references})`,
    "CREATE INDEX ON signatures (digest)",
    `INSERT INTO signatures (digest) VALUES ('${digest(1)}')`
  ]

  it.live("a table with a foreign key to blobs protects them as soon as it exists", () =>
    Effect.gen(function* () {
      const { objects, report } = yield* sweptWith(...signatures("REFERENCES blobs"))
      assert.deepStrictEqual(objects, [keyOf(1)])
      assert.deepInclude(report, { outcome: "complete" })
    })
  )

  it.live("a foreign key that would not protect them is refused by name, and nothing is deleted", () =>
    Effect.gen(function* () {
      const { objects, report } = yield* sweptWith(...signatures("REFERENCES blobs ON DELETE CASCADE"))
      assert.strictEqual(report.outcome, "refused")
      assert.include(report.guards[0]?.message, "signatures")
      assert.deepStrictEqual(objects, [keyOf(1), keyOf(2)])
    })
  )

  it.live("a reference without a foreign key is refused by name, and nothing is deleted", () =>
    Effect.gen(function* () {
      const { objects, report } = yield* sweptWith(...signatures(""))
      assert.strictEqual(report.outcome, "refused")
      assert.include(report.guards[0]?.message, "public.signatures: column digest looks like a reference")
      assert.deepStrictEqual(objects, [keyOf(1), keyOf(2)])
    })
  )

  it.live("control: a reference without a foreign key, declared to be none, protects nothing", () =>
    Effect.gen(function* () {
      const { objects } = yield* sweptBeside(["signatures.digest"], ...signatures(""))
      assert.deepStrictEqual(objects, [])
    })
  )
}

const lockedForDays = (server: Server): void => {
  it.live("during a delete no transaction is open and no lock is held, and a push succeeds", () =>
    Effect.gen(function* () {
      const s = yield* scene(server)
      yield* store(s.database, s.storage, 1)
      const [arrived, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      s.faults.next(
        "delete",
        hangsBefore(Effect.andThen(Deferred.succeed(arrived, undefined), Deferred.await(go)))
      )
      const sweeping = yield* Effect.forkChild((yield* s.collector()).once())
      yield* Deferred.await(arrived)
      const others =
        "FROM pg_stat_activity a WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
      assert.deepStrictEqual(yield* s.hand(`SELECT query ${others} AND xact_start IS NOT NULL`), [])
      assert.deepStrictEqual(
        yield* s.hand(`SELECT query ${others} AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid)`),
        []
      )
      const impatient = yield* s.process({ lockTimeout: Duration.millis(1) })
      assert.deepStrictEqual(yield* store(impatient, s.storage, 1, 2, "again"), ["published"])
      yield* Deferred.succeed(go, undefined)
      assert.deepInclude(yield* Fiber.join(sweeping), { outcome: "complete" })
      assert.deepStrictEqual([...s.objects.keys()], [keyOf(1, 2)])
    })
  )

  it.live("control: a collector that holds its lock during a delete blocks the push", () =>
    Effect.gen(function* () {
      const s = yield* scene(server)
      yield* store(s.database, s.storage, 1)
      yield* s.hand("BEGIN")
      yield* s.hand("SELECT FROM blobs FOR UPDATE")
      const writer = yield* s.session
      yield* writer("SET lock_timeout = '20ms'")
      const pushing = yield* Effect.result(refer(writer, "again", 1))
      assert.isTrue(Result.isFailure(pushing) && pushing.failure.reason._tag === "LockTimeoutError")
    })
  )
}

const foreground = (server: Server): void => {
  it.live("rows that foreground transactions hold are skipped, and the foreground does not wait", () =>
    Effect.gen(function* () {
      const s = yield* scene(server)
      for (let n = 1; n <= 6; n++) yield* store(s.database, s.storage, n)
      yield* store(s.database, s.storage, 7, 1, "live")
      const [tagging, updating, pushing] = [yield* s.session, yield* s.session, yield* s.session]
      for (const session of [tagging, updating, pushing]) yield* session("SET lock_timeout = '1ms'")
      yield* tagging("BEGIN")
      yield* refer(tagging, "mine", 3)
      yield* updating("BEGIN")
      yield* updating("SELECT FROM blobs WHERE digest = $1 FOR UPDATE", [digest(5)])

      // Runs between the lock and the delete of a purge.
      const meanwhile = Effect.gen(function* () {
        yield* refer(pushing, "another", 7)
        yield* refer(tagging, "mine too", 3)
        yield* updating("UPDATE blobs SET last_used_at = now() WHERE digest = $1", [digest(5)])
      })
      const collector = yield* s.collector()
      const report = yield* collector.once().pipe(before(purgeStatement.deletes, meanwhile))
      assert.deepInclude(report.phases.orphans, { deleted: 4, error: null })
      assert.strictEqual(report.phases.orphans.kept.busy, 2)
      yield* tagging("COMMIT")
      yield* updating("ROLLBACK")
      assert.strictEqual((yield* collector.once()).totals.deleted, 1)
      assert.deepStrictEqual([...s.objects.keys()].sort(), [keyOf(3), keyOf(7)])
      assert.strictEqual(yield* s.deadlocks, 0)
    })
  )

  const patience = {
    "lock time-out": { lockTimeout: Duration.millis(10) },
    "statement time-out": { statementTimeout: Duration.millis(40) }
  }
  for (const [what, options] of Object.entries(patience)) {
    it.live(`a table that the foreground holds is skipped after the ${what}, and swept when it is free`, () =>
      Effect.gen(function* () {
        const s = yield* scene(server)
        yield* store(s.database, s.storage, 1)
        const collector = yield* s.collector(options)
        yield* s.hand("BEGIN")
        yield* s.hand("LOCK TABLE blobs IN SHARE ROW EXCLUSIVE MODE")
        const report = yield* collector.once()
        assert.strictEqual(report.outcome, "failed")
        assert.include(report.phases.orphans.error?.message, "SQLSTATE")
        assert.strictEqual(s.objects.size, 1)
        yield* s.hand("COMMIT")
        assert.strictEqual((yield* (yield* s.collector()).once()).totals.deleted, 1)
      })
    )
  }
}

/** Runs the reports on a server. */
export const databaseIncidents = (server: Server): void => {
  describe(`On ${server.name}`, () => {
    describe("goharbor/harbor#12975, #15445, distribution/distribution#3178: a reference that the collector did not know", () =>
      unknownReferences(server))
    describe("project-zot/zot#4235: a lock that the collector held for days stalled pushes", () =>
      lockedForDays(server))
    describe("gitlab-com production#17785: the collector caused an outage of the service", () =>
      foreground(server))
  })
}
