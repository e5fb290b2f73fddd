/**
 * How long does a sweep take that finds nothing new, where references are watched? The floor is the same
 * sweep of a small catalogue, since the size should not matter. The baseline is a scan. And what does
 * watching add to changes of references?
 */
import { randomBytes } from "node:crypto"
import { create, watch } from "./harness/BigCatalogue.ts"
import * as FakeStore from "./harness/FakeStore.ts"
import { type Connection, withConnection } from "./harness/Postgres.ts"
import { type Answer, type Bench, ensure, type Question } from "./harness/Question.ts"
import { measure } from "./harness/Variant.ts"
import type { SweepsOutcome, SweepsTask } from "./idle/Sweeps.ts"

/** Short enough for a sweep every minute. */
const idleMillisMax = 50
/** Maximum ratio of deleting a single reference with and without watching. */
const singleMax = 1.2
/** Maximum that watching adds to a reference that is deleted among many, in microseconds. */
const bulkMicrosMax = 15

const smallBlobs = 1000
const sweeps = 9

/** The question. */
export const question: Question = {
  name: "idle",
  asks: "a sweep that finds nothing new, beside one of a small catalogue and a scan; and the cost of watching for writers",
  options: {
    blobs: { about: "blobs in the catalogue, default 10,000,000" },
    single: { about: "references deleted one by one, default 2,000" },
    bulk: { about: "references deleted by one statement, default 100,000" },
    runs: { about: "rounds of each deletion, default 4" }
  },
  ask: async (bench) => {
    const blobs = bench.given.blobs ?? 10_000_000
    const single = bench.given.single ?? 2000
    const bulk = bench.given.bulk ?? 100_000
    const runs = bench.given.runs ?? 4
    ensure(single > 0 && bulk > 0 && runs > 0, "--single, --bulk and --runs must be above 0")
    ensure(blobs >= 20 * runs * (single + bulk), "--blobs is too small for so many deletions")
    const id = randomBytes(4).toString("hex")
    const names = { big: `artifact_gc_idle_${id}`, small: `artifact_gc_idle_small_${id}` }
    const shape = (count: number) => ({ seed: bench.seed, blobs: count, orphanEvery: null })
    const store = await FakeStore.start(bench.servers.s3)
    try {
      bench.log(`writing ${blobs} blobs and as many references`)
      const big = await create(bench.servers.databaseUrl, names.big, shape(blobs))
      const small = await create(bench.servers.databaseUrl, names.small, shape(smallBlobs))
      const scanned = await sweeping(bench, big, store, 1)
      ensure(scanned.seen[0] === blobs, `a scan saw ${scanned.seen[0]} of ${blobs} blobs`)
      bench.log(`a scan took ${((scanned.millis[0] ?? 0) / 1000).toFixed(1)} s`)
      const idle = await idling(bench, big, store)
      const idleSmall = await idling(bench, small, store)
      bench.log(
        `sweeps that found nothing new took ${idle.millis.map((millis) => millis.toFixed(1)).join(", ")} ms`
      )
      const deletions = await withConnection(big, (connection) =>
        deleting(bench, connection, big, { single, bulk, runs })
      )
      return answer(
        { blobs, single, bulk, runs },
        { scanned, idle: idle.millis, idleSmall: idleSmall.millis, asked: idle.asked, deletions }
      )
    } finally {
      store.close()
      await withConnection(bench.servers.databaseUrl, async (connection) => {
        for (const name of Object.values(names)) {
          await connection.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
        }
      })
    }
  }
}

const sweeping = async (bench: Bench, databaseUrl: string, store: FakeStore.FakeStore, count: number) => {
  const task: SweepsTask = { databaseUrl, s3: store.s3, sweeps: count }
  const file = new URL("./idle/Sweeps.js", import.meta.url)
  return (await measure<SweepsOutcome>(file, task, bench.nodeOptions)).outcome
}

/** Measures sweeps that find nothing new. Skips the first two, which open connections and scan once. */
const idling = async (bench: Bench, url: string, store: FakeStore.FakeStore) => {
  await watch(url, true)
  const { asked, millis, seen } = await sweeping(bench, url, store, sweeps + 2)
  ensure((seen[0] ?? 0) > 0, "the first scan saw no blob")
  ensure(
    seen.slice(1).every((count) => count === 0),
    `later sweeps saw blobs: ${seen.join(", ")}`
  )
  return { millis: millis.slice(2), asked }
}

interface Deletions {
  /** Microseconds a reference. */
  readonly single: { readonly plain: ReadonlyArray<number>; readonly watched: ReadonlyArray<number> }
  readonly bulk: { readonly plain: ReadonlyArray<number>; readonly watched: ReadonlyArray<number> }
}

/** Deletes references with and without the triggers, alternately. Each round deletes other references. */
const deleting = async (
  bench: Bench,
  connection: Connection,
  url: string,
  counts: { readonly single: number; readonly bulk: number; readonly runs: number }
): Promise<Deletions> => {
  const deletions = { single: { plain: [], watched: [] }, bulk: { plain: [], watched: [] } } as {
    readonly [K in "single" | "bulk"]: { readonly [H in "plain" | "watched"]: Array<number> }
  }
  let next = 1
  for (let run = 1; run <= counts.runs; run++) {
    for (const mode of run % 2 === 0 ? (["plain", "watched"] as const) : (["watched", "plain"] as const)) {
      await watch(url, mode === "watched")
      const queued = async () =>
        Number((await connection.query("SELECT count(*)::int AS n FROM artifact_gc.candidates"))[0]?.n)
      const before = await queued()
      const one = await timed(counts.single, async () => {
        for (let n = 0; n < counts.single; n++) {
          const name = `name-${10 * (next + n)}`
          await connection.query("DELETE FROM artifacts WHERE repository = 'bench' AND name = $1", [name])
        }
      })
      next += counts.single
      const many = await timed(counts.bulk, () =>
        connection.query(
          `DELETE FROM artifacts WHERE repository = 'bench' AND name = ANY(ARRAY(
             SELECT 'name-' || 10 * n FROM generate_series(${next}, ${next + counts.bulk - 1}) n))`
        )
      )
      next += counts.bulk
      const recorded = (await queued()) - before
      const expected = mode === "watched" ? counts.single + counts.bulk : 0
      ensure(recorded === expected, `${recorded} losses were recorded of ${expected}`)
      deletions.single[mode].push(one)
      deletions.bulk[mode].push(many)
    }
    bench.log(`run ${run} of deletions`)
  }
  return deletions
}

const timed = async (count: number, work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await work()
  return ((performance.now() - began) * 1000) / count
}

interface Found {
  readonly scanned: SweepsOutcome
  readonly idle: ReadonlyArray<number>
  readonly idleSmall: ReadonlyArray<number>
  readonly asked: SweepsOutcome["asked"]
  readonly deletions: Deletions
}

const answer = (
  parameters: Answer["parameters"],
  { asked, scanned, idle, idleSmall, deletions }: Found
): Answer => {
  const ratio = (pair: Deletions["single"]) =>
    pair.watched.map((micros, run) => micros / (pair.plain[run] ?? Number.NaN))
  const extra = (pair: Deletions["single"]) =>
    // Noise may make it less than nothing, which is no figure.
    pair.watched.map((micros, run) => Math.max(0.001, micros - (pair.plain[run] ?? 0)))
  const median = (values: ReadonlyArray<number>) => {
    const sorted = values.toSorted((a, b) => a - b)
    const at = (index: number) => sorted[index] ?? Number.NaN
    return (at(Math.floor((sorted.length - 1) / 2)) + at(Math.ceil((sorted.length - 1) / 2))) / 2
  }
  return {
    parameters,
    figures: [
      {
        name: "a sweep that finds nothing new",
        unit: "ms",
        measured: [median(idle)],
        floor: [median(idleSmall)],
        baseline: [scanned.millis[0] ?? Number.NaN],
        limit: idleMillisMax
      },
      { name: "statements of such a sweep", unit: "", measured: [asked.statements] },
      { name: "transactions", unit: "", measured: [asked.transactions] },
      { name: "verbs of the database", unit: "", measured: [asked.verbs] },
      {
        name: "a reference deleted by itself, watched",
        unit: "µs",
        measured: deletions.single.watched,
        floor: deletions.single.plain
      },
      {
        name: "the same, as a share",
        unit: "",
        measured: [median(ratio(deletions.single))],
        limit: singleMax
      },
      {
        name: "a reference deleted among many, watched",
        unit: "µs",
        measured: deletions.bulk.watched,
        floor: deletions.bulk.plain
      },
      {
        name: "the difference",
        unit: "µs",
        measured: [median(extra(deletions.bulk))],
        limit: bulkMicrosMax
      }
    ],
    verified: [
      `The scan saw every blob. Each of the ${sweeps} sweeps after it saw none, and neither did those of a catalogue of ${smallBlobs} blobs, which is the floor of the first figure. Its baseline is the scan.`,
      "With watching, each deleted reference added one candidate. Without watching, none did."
    ]
  }
}
