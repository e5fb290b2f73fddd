/** A reference that arrives while its blob is being purged: one of the two waits, and the bytes it needs exist. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import {
  type Arena,
  arena,
  before,
  later,
  ownArena,
  purgeStatement,
  type Session
} from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { artifact, blobs, condemned, digest, hour, key, minute, now } from "../../fixtures/samples.ts"

const request = {
  now,
  condemnedCutoff: now - hour,
  seenCutoff: 4_000_000_000_000,
  usedCutoff: now - hour,
  limit: 100,
  after: null,
  deleteNotBefore: now + minute,
  leaseUntil: null
}
const gone = (n: number) => ({ digest: digest(n), key: key(n), sizeBytes: n })
const nothing = { purged: [], absolved: 0, busy: 0, next: null }

/** As a program does that knows nothing of us. */
const refer = (session: Session, name: string, n: number) =>
  session(
    `INSERT INTO artifacts (repository, name, digest, created_at) VALUES ('library/app', $1, $2, now())`,
    [name, digest(n)]
  )

const condemnedBlobs = ({ tables }: Arena, ...ns: ReadonlyArray<number>) =>
  tables.write({ blobs: blobs(...ns), orphans: ns.map((n) => condemned(n)) })

/** References whose blob does not exist. */
const dangling = (session: Session) =>
  Effect.map(
    session("SELECT FROM artifacts a WHERE NOT EXISTS (SELECT FROM blobs b WHERE b.digest = a.digest)"),
    (rows) => rows.length
  )

/** The whole decision in one statement, as it is often written. */
const naivePurge = `
  DELETE FROM blobs b WHERE digest IN (SELECT digest FROM artifact_gc.orphans WHERE condemned_at IS NOT NULL)
    AND NOT EXISTS (SELECT FROM artifacts a WHERE a.digest = b.digest)
  RETURNING 1`

const dropKey = "ALTER TABLE artifacts DROP CONSTRAINT artifacts_digest_fkey"
const cascade = `${dropKey}, ADD CONSTRAINT artifacts_digest_fkey FOREIGN KEY (digest) REFERENCES blobs ON DELETE CASCADE`

const beforeTheLock = (server: Server): void => {
  it.live("is passed over while it is being written, and kept once it is committed", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlobs(a, 1, 2)
      const writer = yield* a.session
      yield* writer("BEGIN")
      yield* refer(writer, "late", 1)
      assert.deepStrictEqual(yield* a.database.orphans.purge(request), {
        ...nothing,
        purged: [gone(2)],
        busy: 1
      })
      const during = yield* a.tables.rows
      assert.deepStrictEqual(during.blobs, blobs(1))
      assert.deepStrictEqual(during.orphans, [condemned(1)], "left condemned for the next sweep")
      yield* writer("COMMIT")
      assert.deepStrictEqual(yield* a.database.orphans.purge(request), { ...nothing, absolved: 1 })
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, blobs(1))
      assert.deepStrictEqual(after.references, [artifact("late", 1)])
      assert.deepStrictEqual(after.orphans, [])
      assert.lengthOf(after.journal, 1)
    })
  )

  it.live("is as good as never written when it is rolled back", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlobs(a, 1)
      const writer = yield* a.session
      yield* writer("BEGIN")
      yield* refer(writer, "late", 1)
      assert.deepStrictEqual(yield* a.database.orphans.purge(request), { ...nothing, busy: 1 })
      yield* writer("ROLLBACK")
      assert.deepStrictEqual(yield* a.database.orphans.purge(request), { ...nothing, purged: [gone(1)] })
    })
  )

  it.live("protects as well when it is a tag that is moved", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlobs(a, 1)
      yield* a.tables.write({ blobs: blobs(2), references: [artifact("latest", 2)] })
      const writer = yield* a.session
      yield* writer("BEGIN")
      yield* writer("UPDATE artifacts SET digest = $1", [digest(1)])
      assert.deepStrictEqual(yield* a.database.orphans.purge(request), { ...nothing, busy: 1 })
      yield* writer("COMMIT")
      assert.deepStrictEqual(yield* a.database.orphans.purge(request), { ...nothing, absolved: 1 })
    })
  )

  it.live("control: without a foreign key, the purge deletes its blob", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* condemnedBlobs(a, 1)
      const writer = yield* a.session
      yield* writer(dropKey)
      yield* writer("BEGIN")
      yield* refer(writer, "late", 1)
      const collector = yield* a.session
      assert.lengthOf(yield* collector(naivePurge), 1)
      yield* writer("COMMIT")
      assert.strictEqual(yield* dangling(collector), 1)
    })
  )
}

const betweenTheStatements = (server: Server): void => {
  it.live("is seen when it is committed after the page was chosen", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlobs(a, 1, 2)
      const writer = yield* a.session
      const page = yield* a.database.orphans
        .purge(request)
        .pipe(before(purgeStatement.locksBlobs, refer(writer, "late", 1)))
      assert.deepStrictEqual(page, { ...nothing, purged: [gone(2)], absolved: 1 })
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, blobs(1))
      assert.deepStrictEqual(after.orphans, [])
    })
  )

  it.live("waits when it comes after the lock, and then learns that its blob is gone", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlobs(a, 1)
      const writer = later(Effect.result(refer(yield* a.session, "late", 1)))
      const page = yield* a.database.orphans
        .purge(request)
        .pipe(before(purgeStatement.deletes, Effect.andThen(writer.start, a.waiting())))
      assert.deepStrictEqual(page, { ...nothing, purged: [gone(1)] })
      const outcome = yield* writer.outcome
      assert.isTrue(Result.isFailure(outcome) && outcome.failure.reason._tag === "ConstraintError")
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, [])
      assert.deepStrictEqual(after.references, [])
    })
  )

  it.live("may be checked at the end of its transaction: then the commit fails, or the blob is kept", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* condemnedBlobs(a, 1, 2)
      const writer = yield* a.session
      yield* writer(
        "ALTER TABLE artifacts ALTER CONSTRAINT artifacts_digest_fkey DEFERRABLE INITIALLY DEFERRED"
      )
      yield* writer("BEGIN")
      yield* refer(writer, "late", 1)
      const other = yield* a.session
      yield* other("BEGIN")
      yield* refer(other, "in time", 2)
      yield* other("COMMIT")
      assert.deepStrictEqual(yield* a.database.orphans.purge(request), {
        ...nothing,
        purged: [gone(1)],
        absolved: 1
      })
      assert.isTrue(Result.isFailure(yield* Effect.result(writer("COMMIT"))))
      assert.deepStrictEqual((yield* a.tables.rows).references, [artifact("in time", 2)])
    })
  )

  /** A reference in flight, a purge that waits for it, and the commit. */
  const oneStatement = Effect.fnUntraced(function* (a: Arena, prepare: string) {
    yield* condemnedBlobs(a, 1)
    const writer = yield* a.session
    yield* writer(prepare)
    yield* writer("BEGIN")
    yield* refer(writer, "late", 1)
    const purge = yield* Effect.forkChild(Effect.result((yield* a.session)(naivePurge)))
    yield* a.waiting()
    yield* writer("COMMIT")
    return { purge: yield* Fiber.join(purge), writer }
  })

  it.live(
    "control: one statement that checks and deletes destroys the committed reference with CASCADE",
    () =>
      Effect.gen(function* () {
        const a = yield* ownArena(server)
        const { purge } = yield* oneStatement(a, cascade)
        assert.isTrue(Result.isSuccess(purge))
        const after = yield* a.tables.rows
        assert.deepStrictEqual(after.blobs, [])
        assert.deepStrictEqual(after.references, [], "it was committed, and it is lost")
      })
  )

  it.live("control: without CASCADE, that one statement is saved by the foreign key alone, and fails", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      const { purge } = yield* oneStatement(a, "SELECT 1")
      assert.isTrue(Result.isFailure(purge))
      assert.lengthOf((yield* a.tables.rows).references, 1)
    })
  )

  it.live("needs no foreign key's help once the purge locks first and looks second", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* condemnedBlobs(a, 1)
      const [writer, collector] = [yield* a.session, yield* a.session]
      yield* writer(cascade)
      yield* writer("BEGIN")
      yield* refer(writer, "late", 1)
      yield* collector("BEGIN")
      const locked = yield* Effect.forkChild(collector("SELECT FROM blobs FOR UPDATE"))
      yield* a.waiting()
      yield* writer("COMMIT")
      yield* Fiber.join(locked)
      assert.lengthOf(yield* collector(naivePurge), 0, "a later snapshot sees the reference")
      yield* collector("COMMIT")
      assert.lengthOf((yield* a.tables.rows).references, 1)
    })
  )
}

export const references = (server: Server): void => {
  describe("a reference to a condemned blob", () => {
    beforeTheLock(server)
    betweenTheStatements(server)
  })
}
