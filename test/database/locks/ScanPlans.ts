/**
 * What a scan costs must hang on what its slices hold, and not on what the planner believes of the tables: statistics are
 * missing after a restore, and old while a store grows.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Slice } from "../../../src/database/Database.ts"
import { looksUp } from "../../../src/database/postgres/Unreferenced.ts"
import { type Arena, ownArena, type Session } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import {
  asTree,
  type Explained,
  type Node,
  nodesOf,
  readsOf,
  rootOf,
  treesOf
} from "../../fixtures/database/Plans.ts"
import { filled, type Knowledge, made, statistics } from "../../fixtures/database/Statistics.ts"
import { now, sweep } from "../../fixtures/samples.ts"

/** Blobs of a slice. */
const slice = 10_000

const isFirstStage = (node: Node) => node["Subplan Name"] === "CTE unreferenced"

/** What is wrong with the plan of a slice: nothing, where it reads its ranges of indexes, and rows of orphans alone. */
const faultsOf = (root: Node, { after, upTo }: Slice): ReadonlyArray<string> => {
  const first = nodesOf(root).find(isFirstStage)
  const inFirst = first === undefined ? [] : nodesOf(first)
  const ranges = readsOf(inFirst).map((node) => {
    const bounds = [node, ...(node.Plans ?? [])].map((one) => one["Index Cond"] ?? "").join()
    const isClosed = [after, upTo].every((end) => end === null || bounds.includes(end))
    return `${node["Relation Name"]}: ${node["Node Type"]}${isClosed ? "" : " of more than the slice"}`
  })
  const rows = readsOf(nodesOf(root, isFirstStage)).map((node) => {
    const isOne = node["Index Cond"] === "(digest = u.digest)"
    return `${node["Relation Name"]}: ${node["Node Type"]}${isOne ? "" : " of more than orphans"}`
  })
  const tables = ["artifacts", "blobs", "local_files", "manifest_references", "manifests", "pins"]
  const unread = tables.filter((table) => !ranges.some((line) => line.startsWith(`${table}:`)))
  return [
    ...ranges.filter((line) => !line.endsWith(": Index Only Scan")),
    ...rows.filter((line) => !line.endsWith(": Index Scan")),
    ...unread.map((table) => `${table}: not read`),
    ...inFirst.flatMap((node) =>
      node["Join Filter"] === undefined ? [] : ["all of a slice compared with all"]
    )
  ]
}

/** The plan without what the verb sets, and without what keeps a look-up from being made a join. */
const control = Effect.fnUntraced(function* (session: Session, { statement, parameters }: Explained) {
  const rows = yield* session(`EXPLAIN (${asTree}) ${statement.replaceAll(looksUp, "")}`, parameters)
  return rootOf(rows.map((row) => row["QUERY PLAN"]))
})

/** Every slice of a pass, and of these the first, one in the middle, and the last. */
const slicesOf = Effect.fnUntraced(function* ({ database: { orphans } }: Arena) {
  const all: Array<Slice> = []
  do all.push(yield* orphans.readSlice(all.at(-1)?.upTo ?? null, slice))
  while (all.at(-1)?.upTo !== null)
  return { all, chosen: [all[0], all[all.length >> 1], all.at(-1)].filter((one) => one !== undefined) }
})

/** How a slice is chosen that begins at the beginning, and after `after` by both verbs: see `pages`. */
const pagesOf = Effect.fnUntraced(function* (
  { database: { orphans } }: Arena,
  session: Session,
  after: Slice["after"]
) {
  yield* session("UPDATE artifact_gc.scans SET position = $1", [after])
  const pages = yield* treesOf(
    "page AS",
    Effect.all([
      orphans.readSlice(null, slice),
      orphans.readSlice(after, slice),
      orphans.claimSlice(slice, null)
    ])
  )
  return pages.map(({ root }) =>
    nodesOf(nodesOf(root).find((node) => node["Subplan Name"] === "CTE page") ?? root).map(
      (node) => `${node["Node Type"]}${node["Index Cond"]?.includes(String(after)) ? " from there" : ""}`
    )
  )
})
const pages = [
  ["Limit", "Index Only Scan"],
  ["Limit", "Index Only Scan from there"],
  ["Limit", "Index Only Scan from there"]
]

/** What the planner would do to some slice, by what it knows. */
const withoutIt: Record<Knowledge, string> = {
  "old, of tables that were never vacuumed": "blobs: Seq Scan of more than the slice",
  old: "all of a slice compared with all",
  none: "artifacts: Bitmap Heap Scan",
  new: "blobs: Seq Scan of more than orphans",
  exaggerated: "blobs: Index Scan of more than orphans"
}

export const scanPlans = (server: Server): void => {
  describe(`of ${made.blobs} blobs`, () => {
    it.live(
      "a slice is found by ranges of indexes, and rows are read of orphans alone, whatever the statistics",
      () =>
        Effect.gen(function* () {
          const a = yield* ownArena(server)
          const session = yield* filled(a)
          for (const [knowledge, arrange] of statistics(session)) {
            yield* arrange
            const { all, chosen } = yield* slicesOf(a)
            assert.lengthOf(all, Math.ceil(made.blobs / slice))
            assert.deepStrictEqual(yield* pagesOf(a, session, chosen[1]?.after ?? null), pages, knowledge)
            const faults: Array<string> = []
            for (const one of chosen) {
              const [explained] = yield* treesOf("unreferenced", a.database.orphans.find(one))
              if (explained === undefined) return assert.fail("no statement of two stages")
              assert.deepStrictEqual(
                faultsOf(explained.root, one),
                [],
                `${knowledge}: ${JSON.stringify(one)}`
              )
              faults.push(...faultsOf(yield* control(session, explained), one))
              const seen = (yield* a.database.orphans.find(one)).map(({ digest }) => digest)
              const marks = { now, seen, condemned: [], sweep }
              const recorded = yield* treesOf("INSERT INTO", a.database.orphans.record(one, marks))
              const ofBlobs = recorded.flatMap(({ root }) =>
                readsOf(nodesOf(root)).filter((node) => node["Relation Name"] === "blobs")
              )
              assert.deepStrictEqual(
                ofBlobs.map((node) => node["Index Cond"]),
                ["(digest = m.digest)"],
                `${knowledge}: blobs are looked up when sightings are written down`
              )
            }
            assert.include(faults, withoutIt[knowledge], `${knowledge}: the control`)
          }
          const found = yield* Effect.forEach((yield* slicesOf(a)).all, a.database.orphans.find)
          assert.lengthOf(found.flat(), made.orphans)
        }).pipe(Effect.scoped),
      60_000
    )

    it.live(
      "candidates and sightings are looked up one by one, whatever the statistics",
      () =>
        Effect.gen(function* () {
          const a = yield* ownArena(server)
          const session = yield* filled(a)
          const { candidates } = a.database
          for (const [knowledge, arrange] of statistics(session)) {
            yield* arrange
            const verbs = Effect.gen(function* () {
              const page = yield* candidates.sighted(null, 1000)
              const next = yield* candidates.sighted(page.next, 1000)
              assert.deepStrictEqual([page.sightings, next.sightings], [1000, 1000])
              const marks = {
                now,
                condemned: next.orphans.map(({ digest }) => digest),
                stale: page.stale,
                sweep
              }
              assert.strictEqual(yield* candidates.settle(marks), page.stale.length)
              assert.include(yield* candidates.review(now, 1000), { candidates: 1000 })
            })
            const explained = yield* treesOf("artifact_gc", verbs)
            const reads = explained.flatMap(({ root }) => readsOf(nodesOf(root)))
            assert.includeMembers(
              reads.map((node) => node["Relation Name"]),
              [
                "artifacts",
                "blobs",
                "candidates",
                "local_files",
                "manifests",
                "manifest_references",
                "orphans",
                "pins"
              ]
            )
            for (const node of reads) assert.match(node["Node Type"], /^Index (Only )?Scan$/, knowledge)
            const whole = reads.filter((node) => node["Index Cond"] === undefined)
            // Pages of them, in the order of their indexes.
            for (const node of whole)
              assert.include(["candidates", "orphans"], node["Relation Name"], knowledge)
          }
        }).pipe(Effect.scoped),
      60_000
    )
  })
}
