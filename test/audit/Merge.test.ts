/** The merge of two sides: every key once and in order, with any pages, and never more than two pages in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Schema, Stream } from "effect"
import { findings } from "../../src/audit/Audit.ts"
import * as Merge from "../../src/audit/Merge.ts"
import { CollectorDatabase, type KnownKey } from "../../src/database/Database.ts"
import type { Digest } from "../../src/domain/Digest.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { compareKeys } from "../../src/storage/KeyOrder.ts"
import { Storage, type StoredObject } from "../../src/storage/Storage.ts"
import * as AllDatabases from "../fixtures/Database.ts"

const objectOf = (key: string): StoredObject => ({ key: ObjectKey.make(key), sizeBytes: 1, modifiedAt: 0 })
const rowOf = (key: string, owner: KnownKey["owner"] = "blob"): KnownKey => ({
  key: ObjectKey.make(key),
  owner,
  digest: key as Digest,
  sizeBytes: 1
})
const sorted = (keys: Iterable<string>) => [...new Set(keys)].sort(compareKeys)

/** A store that lists in pages of `pageMax`, and a database; both record when they are asked. */
const sides = (
  objects: ReadonlyArray<string>,
  rows: ReadonlyArray<KnownKey>,
  pageMax: number,
  told: { readonly listed?: (last: string) => void; readonly read?: (after: string | null) => void } = {}
) =>
  Layer.mergeAll(
    Layer.mock(Storage)({
      identity: {},
      description: "stub",
      head: (key) => Effect.sync(() => Option.some(objectOf(key))),
      list: (prefix, options) => {
        const from = objects.filter(
          (key) =>
            key.startsWith(prefix) && (options?.after === undefined || compareKeys(key, options.after) > 0)
        )
        return Stream.paginate(0, (at: number) =>
          Effect.sync(() => {
            const page = from.slice(at, at + pageMax).map(objectOf)
            told.listed?.(page.at(-1)?.key ?? "")
            // Also an empty last page, as a store may have it.
            return [[page], page.length < pageMax ? Option.none() : Option.some(at + pageMax)] as const
          })
        )
      }
    }),
    Layer.effect(
      CollectorDatabase,
      Effect.map(CollectorDatabase, (inner) => ({
        ...inner,
        audit: {
          ...inner.audit,
          page: (prefix, after, limit) =>
            Effect.sync(() => {
              told.read?.(after)
              const from = rows.findIndex(
                ({ key }) => key.startsWith(prefix) && (after === null || compareKeys(key, after) > 0)
              )
              return from === -1
                ? []
                : rows.slice(from, from + limit).filter(({ key }) => key.startsWith(prefix))
            }),
          lookup: () => Effect.succeed([]),
          referrers: () => Effect.succeed([]),
          estimate: Effect.succeed(0),
          missingIndex: Effect.succeed(null)
        }
      }))
    ).pipe(Layer.provide(AllDatabases.inMemory()))
  )

const windowsOf = Effect.fnUntraced(function* (limit: number, after: ObjectKey | null = null) {
  const next = yield* Merge.make("", after, limit)
  const windows: Array<Merge.Window> = []
  for (let window = yield* next; window !== null; window = yield* next) windows.push(window)
  return windows
}, Effect.scoped)

const plain = (windows: ReadonlyArray<Merge.Window>) =>
  windows
    .flatMap(({ entries }) => entries)
    .map(({ key, object, owners }) => [key, object !== null, owners.length] as const)

/** Keys whose order differs between bytes, UTF-16 and languages. */
const alphabet = ["a", "B", "b", "á", "\ud7ff", "\ue000", "\uffff", "\u{1f600}", "a/b", "aa"]

describe("the merge", () => {
  it.effect.prop(
    "has every key of either side once, in order, with what each side says, for pages of any size",
    {
      objects: Schema.Array(Schema.Literals(alphabet)),
      rows: Schema.Array(Schema.Literals(alphabet)),
      pageMax: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
      limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
      from: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: alphabet.length }))
    },
    ({ objects, rows, pageMax, limit, from }) =>
      Effect.gen(function* () {
        const [a, b] = [sorted(objects), sorted(rows)]
        const after = alphabet[from] === undefined ? null : ObjectKey.make(alphabet[from])
        const windows = yield* windowsOf(limit, after)
        assert.deepStrictEqual(
          plain(windows),
          sorted([...a, ...b])
            .filter((key) => after === null || compareKeys(key, after) > 0)
            .map((key) => [ObjectKey.make(key), a.includes(key), b.includes(key) ? 1 : 0])
        )
        for (const { entries, upTo } of windows) assert.strictEqual(entries.at(-1)?.key, upTo)
      }).pipe(
        Effect.provide(
          sides(
            sorted(objects),
            sorted(rows).map((key) => rowOf(key)),
            pageMax
          )
        )
      ),
    { arbitrary: { runs: 500, seed: "merge" } }
  )

  const cases: ReadonlyArray<readonly [title: string, objects: string, rows: string]> = [
    ["both sides end with their pages", "abcd", "abcd"],
    ["only the store goes on", "abcdefg", "ab"],
    ["only the database goes on", "ab", "abcdefg"],
    ["they never meet", "aceg", "bdfh"],
    ["one lies behind the other", "abcd", "efgh"],
    ["the other lies behind the one", "efgh", "abcd"],
    ["the store is empty", "", "abc"],
    ["the database is empty", "abc", ""],
    ["both are empty", "", ""]
  ]
  for (const [title, objects, rows] of cases) {
    it.effect(`is whole when ${title}, with pages of two`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(
          plain(yield* windowsOf(2)),
          sorted(objects + rows).map((key) => [
            ObjectKey.make(key),
            objects.includes(key),
            rows.includes(key) ? 1 : 0
          ])
        )
      }).pipe(
        Effect.provide(
          sides(
            [...objects],
            [...rows].map((key) => rowOf(key)),
            2
          )
        )
      )
    )
  }

  it.effect("groups all owners of a key, the blob first", () =>
    Effect.gen(function* () {
      const [window] = yield* windowsOf(10)
      assert.deepStrictEqual(
        window?.entries.map(({ key, owners }) => [key as string, owners.map(({ owner }) => owner)]),
        [
          ["a", ["blob", "journal"]],
          ["b", ["intent"]]
        ]
      )
    }).pipe(Effect.provide(sides(["a", "b"], [rowOf("a"), rowOf("a", "journal"), rowOf("b", "intent")], 2)))
  )
})

describe("memory", () => {
  const many = 200_000
  const number = (key: string | null) => (key === null || key === "" ? 0 : Number(key.slice(1)))
  const all = Array.from({ length: many }, (_, n) => `k${String(n).padStart(6, "0")}`)

  it.effect("holds at most two pages, while 200,000 keys of either side pass", () =>
    Effect.gen(function* () {
      const at = { listed: 0, read: 0, apart: 0 }
      const look = () => {
        at.apart = Math.max(at.apart, Math.abs(at.listed - at.read))
      }
      const told = {
        listed: (last: string) => {
          at.listed = Math.max(at.listed, number(last))
          look()
        },
        read: (after: string | null) => {
          at.read = Math.max(at.read, number(after))
          look()
        }
      }
      const rows = all.filter((_, n) => n % 3 !== 0).map((key) => rowOf(key))
      const objects = all.filter((_, n) => n % 2 !== 0)
      const events = yield* Stream.runCollect(findings()).pipe(
        Effect.provide(sides(objects, rows, 1000, told))
      )
      const summary = events.at(-1)
      assert.deepInclude(summary, { _tag: "AuditSummary", complete: true, sound: 66_667 })
      assert.isAbove(at.listed, many - 3)
      // A page of objects spans 2000 numbers, one of rows 1500; so one page ahead and the current one.
      assert.isAtMost(at.apart, 4000)
    })
  )

  it.effect("waits for its consumer, even if every key is a finding", () =>
    Effect.gen(function* () {
      let [listed, taken, ahead] = [0, 0, 0]
      const told = {
        listed: () => {
          listed += 1000
          ahead = Math.max(ahead, listed - taken)
        }
      }
      yield* Stream.runForEach(findings({ settings: { leftoverGrace: Duration.zero } }), () =>
        Effect.sync(() => {
          taken += 1
        })
      ).pipe(Effect.provide(sides(all.slice(0, 50_000), [], 1000, told)))
      assert.strictEqual(taken, 50_001, "the summary is one")
      assert.isAtMost(ahead, 2000)
    })
  )
})
