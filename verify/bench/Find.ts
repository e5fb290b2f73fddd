/**
 * How long does it take to find the orphans of a whole catalogue, beside the same statements without a collector around
 * them, and beside asking for all of them at once? And how long where references are watched, and only what lost one
 * is looked at?
 */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import {
  type Catalogue,
  load,
  type Passing,
  pass,
  passers,
  type Reviewing,
  review,
  reviewers,
  type Settings
} from "./find/Contest.ts"
import type { Pass, Review } from "./find/Task.ts"
import type { Effort } from "./harness/Contender.ts"
import { insistNoticed } from "./harness/Control.ts"
import { withConnection } from "./harness/Postgres.ts"
import {
  type Answer,
  type Bench,
  type Figure,
  Insufficient,
  insist,
  type Question
} from "./harness/Question.ts"
import { insistSame } from "./harness/Recorder.ts"
import { inTurns } from "./harness/Turns.ts"

/** Whoever shares the database waits for no statement that takes seconds. */
const statementMillisMax = 1000

/** One blob in a hundred. */
const orphanEvery = 100

/** The default GC_SCAN_PAGE. */
const settings: Settings = { scanPage: 10_000, records: false }

export const question: Question = {
  name: "find",
  asks: "finding the orphans of a catalogue, beside the same SQL in a bare loop and one statement for all of them",
  options: {
    blobs: { about: "blobs in the catalogue, one in a hundred an orphan, default 1,000,000" },
    lost: { about: "blobs that lose their last reference, default 10,000, or a hundredth of fewer blobs" },
    cold: {
      about: "1: nothing of the tables is in the machine's file cache when a pass begins; needs root on Linux"
    },
    runs: { about: "runs of each contender, default 3" }
  },
  ask: async (bench) => {
    const { given, seed, log } = bench
    const blobs = given.blobs ?? 1_000_000
    const lost = given.lost ?? Math.min(10_000, Math.floor(blobs / orphanEvery))
    const runs = given.runs ?? 3
    insist(runs > 0, "no runs measure nothing")
    const cold = given.cold ?? 0
    const executions = await rehearse(bench)
    log(`writing ${blobs} blobs and their references`)
    const catalogue = await load(bench, databaseName(), { seed, blobs, orphanEvery }, lost)
    try {
      // Nobody shall be the first to read what has just been written.
      await pass(bench, catalogue, "floor", settings)
      const rounds: Array<Round> = []
      for (let run = 1; run <= runs; run++) rounds.push(await round(bench, catalogue, run, cold !== 0))
      return answer({ blobs, orphans: catalogue.orphans.count, lost, cold, runs, seed }, rounds, executions)
    } finally {
      await catalogue.drop()
    }
  }
}

const databaseName = () => `artifact_gc_find_${randomBytes(4).toString("hex")}`

interface Round {
  readonly passes: Record<Passing, Effort<Pass>>
  readonly reviews: Record<Reviewing, Effort<Review>>
}

const round = async (bench: Bench, catalogue: Catalogue, run: number, isCold: boolean): Promise<Round> => {
  const passes = await inTurns(run, passers, async (who) => {
    if (isCold) forgetFiles()
    const effort = await pass(bench, catalogue, who, settings)
    bench.log(`run ${run}: ${who} found ${catalogue.orphans.count} orphans in ${seconds(effort)}`)
    return effort
  })
  const reviews = await inTurns(run, reviewers, async (who) => {
    const effort = await review(bench, catalogue, who, settings)
    bench.log(`run ${run}: ${who} reviewed ${effort.outcome.candidates} candidates in ${seconds(effort)}`)
    return effort
  })
  return { passes, reviews }
}

/** What PostgreSQL has in its own buffers stays there. */
const forgetFiles = (): void => {
  try {
    execFileSync("sync")
    writeFileSync("/proc/sys/vm/drop_caches", "3")
  } catch (error) {
    throw new Insufficient(`the file cache could not be dropped, which root on Linux can: ${error}`)
  }
}

const seconds = ({ millis }: { readonly millis: number }) => `${(millis / 1000).toFixed(2)} s`

/**
 * On many small pages: that the verifications notice an orphan too few and a review that did not happen, that all
 * contenders work, and that the floors issue the collector's statements. Answers how many statements were compared.
 */
const rehearse = async (bench: Bench): Promise<number> => {
  bench.log("rehearsal")
  const silent = { ...bench, nodeOptions: [] }
  const recorded: Settings = { scanPage: 50, records: true }
  const catalogue = await load(silent, databaseName(), { seed: bench.seed, blobs: 1230, orphanEvery }, 60)
  try {
    await insistNoticed("that nothing had been reviewed", () => catalogue.losses.verify("nobody"))
    const passes = await inTurns(1, passers, (who) => pass(silent, catalogue, who, recorded))
    const reviews = await inTurns(1, reviewers, (who) => review(silent, catalogue, who, recorded))
    await inTurns(1, passers, (who) => pass(silent, catalogue, who, recorded))
    await rescueOne(catalogue)
    for (const who of passers) {
      await insistNoticed(`that ${who} found an orphan too few`, () => pass(silent, catalogue, who, recorded))
    }
    return (
      insistSame("find", "verify/bench/sweep/Statements.ts", statements(passes)) +
      insistSame("find", "verify/bench/find/ReviewStatements.ts", statements(reviews))
    )
  } finally {
    await catalogue.drop()
  }
}

const statements = ({ floor, find }: Record<"floor" | "find", Effort<Pass | Review>>) => ({
  floor: floor.outcome.statements,
  measured: find.outcome.statements
})

/** Refers to an orphan. */
const rescueOne = ({ url }: Catalogue) =>
  withConnection(url, (connection) =>
    connection.query(
      `INSERT INTO local_files (path, digest, created_at)
       SELECT 'rescue', digest, now() FROM blobs WHERE object_key = 'blobs/${orphanEvery}'`
    )
  )

const answer = (
  parameters: Answer["parameters"],
  rounds: ReadonlyArray<Round>,
  executions: number
): Answer => {
  const { blobs = 0, orphans = 0, lost = 0 } = parameters
  const each = (value: (effort: Effort<Pass>) => number) => ({
    measured: rounds.map(({ passes }) => value(passes.find)),
    floor: rounds.map(({ passes }) => value(passes.floor)),
    baseline: rounds.map(({ passes }) => value(passes.baseline))
  })
  const figures: ReadonlyArray<Figure> = [
    { name: "a pass over everything", unit: "s", ...each(({ millis }) => millis / 1000) },
    { name: "rate", unit: "blobs/s", ...each(({ millis }) => (blobs * 1000) / millis) },
    {
      name: "slowest statement",
      unit: "ms",
      ...each(({ outcome }) => outcome.slowestMillis),
      limit: statementMillisMax
    },
    {
      name: "CPU of the process",
      unit: "ms/million blobs",
      ...each(({ cpuMillis }) => (cpuMillis * 1e6) / blobs)
    },
    { name: "peak RSS", unit: "MB", ...each(({ rssPeakBytes }) => rssPeakBytes / 1e6) },
    {
      name: "a review of what lost a reference",
      unit: "s",
      measured: rounds.map(({ reviews }) => reviews.find.millis / 1000),
      floor: rounds.map(({ reviews }) => reviews.floor.millis / 1000),
      baseline: rounds.map(({ passes }) => passes.find.millis / 1000)
    }
  ]
  return {
    parameters,
    figures,
    verified: [
      `Each pass found exactly the ${orphans} orphans, by their number and the sum of their hashes, which the server computed from how the catalogue was made.`,
      `Of ${2 * lost} blobs that lost a reference, each review sighted exactly the ${lost} that had no other, and left no candidate. The baseline of its figure is the collector's pass over everything in the same run.`,
      `In a rehearsal, floors and collector executed the same ${executions} statements, as often; and an orphan too few, or a review that nobody had made, was noticed.`
    ]
  }
}
