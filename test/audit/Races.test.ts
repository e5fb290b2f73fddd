/**
 * What changes while an audit runs: it reports nothing that was never wrong. Each race has its control, the same steps
 * without the second look, which reports it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import type { KnownKey } from "../../src/database/Database.ts"
import type { DatabaseError } from "../../src/domain/DatabaseError.ts"
import type { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type { StorageError } from "../../src/domain/StorageError.ts"
import { hangsAfter, hangsBefore } from "../../src/testing/Faults.ts"
import { audit, firstLook, named } from "../fixtures/audit/Auditing.ts"
import {
  abandon,
  artifact,
  blobKey,
  bury,
  day,
  digest,
  stage,
  start,
  upload,
  World,
  type Wrapper,
  world
} from "../fixtures/World.ts"

type Steps = Effect.Effect<unknown, DatabaseError | StorageError, World>

/** Purges a blob and deletes its object, as a collector does. */
const purge = (name: string): Steps =>
  Effect.gen(function* () {
    const { state, store } = yield* World
    const key = state.blobs.get(digest(name))?.key ?? blobKey(name)
    state.blobs.delete(digest(name))
    yield* store.delete([key])
  })

/** Deletes a journaled key, as a collector does. */
const collect = (key: ObjectKey): Steps =>
  Effect.gen(function* () {
    const { state, store } = yield* World
    yield* store.delete([key])
    state.journal.delete(key)
  })

interface Race {
  readonly title: string
  readonly before: Steps
  /** Which side has answered when it happens; the other has not. */
  readonly after: "rows" | "objects"
  readonly meanwhile: Steps
  /** What the first look suspects. */
  readonly suspects: string
}

const races: ReadonlyArray<Race> = [
  {
    title: "an old object whose row a writer outside the protocol inserts after the database's page was read",
    before: stage(blobKey("a")),
    after: "rows",
    meanwhile: Effect.gen(function* () {
      const { state } = yield* World
      state.blobs.set(digest("a"), {
        key: blobKey("a"),
        sizeBytes: 1,
        createdAt: start,
        lastUsedAt: start
      })
    }),
    suspects: blobKey("a")
  },
  {
    title:
      "an upload that begins and ends after the database's page was read, in a store whose clock is behind",
    before: stage(blobKey("a")),
    after: "rows",
    meanwhile: upload("a", { references: [artifact("a", "a")] }),
    suspects: blobKey("a")
  },
  {
    title: "an upload that is announced after the database's page was read",
    before: stage(blobKey("a")),
    after: "rows",
    meanwhile: abandon("a", start + 30 * day),
    suspects: blobKey("a")
  },
  {
    title: "a leftover that is journaled after the database's page was read",
    before: stage(blobKey("a")),
    after: "rows",
    meanwhile: bury("a", start + 30 * day),
    suspects: blobKey("a")
  },
  {
    title: "a leftover that is deleted, and struck off the journal, after it was listed",
    before: stage(blobKey("a")),
    after: "objects",
    meanwhile: collect(blobKey("a")),
    suspects: blobKey("a")
  },
  {
    title: "a blob that is purged and deleted after its row was read, before the store was listed",
    before: upload("a"),
    after: "rows",
    meanwhile: purge("a"),
    suspects: blobKey("a")
  },
  {
    title: "a blob whose object was replaced after the store was listed, by a writer outside the protocol",
    before: upload("a", { sizeBytes: 3 }).pipe(Effect.andThen(stage(blobKey("a"), 2))),
    after: "objects",
    meanwhile: stage(blobKey("a"), 3),
    suspects: blobKey("a")
  }
]

/** Long enough for the other side, which began at the same time, to end. */
const othersFirst = Effect.forEach(Array(50), () => Effect.yieldNow, { discard: true })

const arrange = Effect.fnUntraced(function* ({ before, after, meanwhile }: Race) {
  const { database, storage } = yield* World
  yield* before
  yield* TestClock.adjust("2 days")
  const context = yield* Effect.context<World>()
  const then = Effect.orDie(Effect.provideContext(meanwhile, context))
  const slow = hangsBefore(Effect.andThen(othersFirst, then))
  if (after === "rows") storage.next("list", slow)
  else database.next("audit.page", slow)
})

describe("a change during an audit", () => {
  for (const race of races) {
    it.effect(`is no finding: ${race.title}`, () =>
      Effect.gen(function* () {
        yield* arrange(race)
        const { findings, summary } = yield* audit()
        assert.deepStrictEqual(named(findings), [])
        const { settled, awaitingDeletion, underWay } = summary
        assert.strictEqual(settled + awaitingDeletion.objects + underWay.objects, 1)
      }).pipe(Effect.provide(world()))
    )

    it.effect(`would be one without the second look: ${race.title}`, () =>
      Effect.gen(function* () {
        yield* arrange(race)
        assert.deepStrictEqual(yield* firstLook(), [race.suspects])
      }).pipe(Effect.provide(world()))
    )
  }
})

describe("a change between the parts of the second look", () => {
  it.effect("is no finding: a blob that is purged and deleted after its object was asked for", () =>
    Effect.gen(function* () {
      const { state, storage, store } = yield* World
      yield* upload("a")
      yield* TestClock.adjust("2 days")
      // The object is found absent while the row exists, because of a passing fault. Then both are deleted.
      yield* store.delete([blobKey("a")])
      const gone = Effect.sync(() => state.blobs.delete(digest("a")))
      storage.next("head", hangsAfter(gone))
      const { findings, summary } = yield* audit()
      assert.deepStrictEqual(named(findings), [])
      assert.strictEqual(summary.settled, 1)
    }).pipe(Effect.provide(world()))
  )

  it.effect(
    "is no finding: a leftover that is deleted, and struck off, between the question and the HEAD",
    () =>
      Effect.gen(function* () {
        const { database } = yield* World
        yield* stage(blobKey("a"))
        yield* TestClock.adjust("2 days")
        const context = yield* Effect.context<World>()
        database.next(
          "audit.lookup",
          hangsAfter(Effect.orDie(Effect.provideContext(collect(blobKey("a")), context)))
        )
        const { findings, summary } = yield* audit()
        assert.deepStrictEqual(named(findings), [])
        assert.strictEqual(summary.settled, 1)
      }).pipe(Effect.provide(world()))
  )

  /** The reverse order: the rows are asked for first, and the same answer is given later. */
  const rowsFirst: Wrapper = (inner) => {
    const seen = new Map<ObjectKey, KnownKey>()
    return {
      ...inner,
      audit: {
        ...inner.audit,
        page: (...args) =>
          Effect.tap(inner.audit.page(...args), (page) =>
            Effect.sync(() => {
              for (const known of page) seen.set(known.key, known)
            })
          ),
        lookup: (keys) => Effect.sync(() => keys.flatMap((key) => seen.get(key) ?? []))
      }
    }
  }
  const purged: Race = {
    title: "",
    before: upload("a"),
    after: "rows",
    meanwhile: purge("a"),
    suspects: ""
  }
  it.effect("would be one if rows were asked for before objects: a blob that is purged meanwhile", () =>
    Effect.gen(function* () {
      yield* arrange(purged)
      assert.deepStrictEqual(named((yield* audit()).findings), [`MissingObject ${blobKey("a")}`])
    }).pipe(Effect.provide(world({}, rowsFirst)))
  )
})

describe("a change while a deep audit reads", () => {
  const hello = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

  it.effect("is no finding: a blob that is purged and deleted before its object is read", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* upload(hello)
      const context = yield* Effect.context<World>()
      storage.next("get", hangsBefore(Effect.orDie(Effect.provideContext(purge(hello), context))))
      const { findings, summary } = yield* audit({ deep: true })
      assert.deepStrictEqual(named(findings), [])
      assert.deepInclude(summary, { settled: 1, sound: 0 })
    }).pipe(Effect.provide(world()))
  )

  it.effect("is a finding of another kind: an object that was deleted while its row exists", () =>
    Effect.gen(function* () {
      const { storage, store } = yield* World
      yield* upload(hello)
      storage.next("get", hangsBefore(Effect.orDie(store.delete([blobKey(hello)]))))
      assert.deepStrictEqual(named((yield* audit({ deep: true })).findings), [
        `MissingObject ${blobKey(hello)}`
      ])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is no finding: wrong bytes of a blob that is purged while they are read a second time", () =>
    Effect.gen(function* () {
      const { state, storage } = yield* World
      yield* upload(hello)
      let reads = 0
      storage.always(({ operation }) =>
        operation === "get" && ++reads === 2
          ? hangsBefore(Effect.sync(() => state.blobs.delete(digest(hello))))
          : undefined
      )
      const { findings, summary } = yield* audit({ deep: true })
      assert.strictEqual(reads, 2)
      assert.deepStrictEqual(named(findings), [])
      assert.deepInclude(summary, { settled: 1 })
    }).pipe(Effect.provide(world()))
  )
})
