/**
 * How long does it take to find the orphans of a whole catalogue? The floor is the same statements in a loop,
 * the baseline one statement for all orphans. And how long does it take where references are watched, so that
 * only blobs that lost one are checked?
 */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import type { Pass, Review } from "./find/Task.ts"
import {
  type Catalogue,
  load,
  type PassVariant,
  pass,
  passVariants,
  type ReviewVariant,
  review,
  reviewVariants,
  type Settings
} from "./find/Variants.ts"
import { withConnection } from "./harness/Postgres.ts"
import {
  type Answer,
  type Bench,
  ensure,
  ensureDetected,
  type Figure,
  NoFigures,
  type Question
} from "./harness/Question.ts"
import { ensureSame } from "./harness/Recorder.ts"
import { inRotation } from "./harness/Rotation.ts"
import type { Measurement } from "./harness/Variant.ts"

/** No statement may take so long that others who use the database notice it. */
const statementMillisMax = 1000

/** One blob in a hundred is an orphan. */
const orphanEvery = 100

/** The default GC_SCAN_PAGE. */
const settings: Settings = { scanPage: 10_000, records: false }

/** The question. */
export const question: Question = {
  name: "find",
  asks: "finding the orphans of a catalogue, beside the same SQL in a loop and one statement for all of them",
  options: {
    blobs: { about: "blobs in the catalogue, one in a hundred an orphan, default 1,000,000" },
    lost: { about: "blobs that lose their last reference, default 10,000, or a hundredth of fewer blobs" },
    cold: {
      about: "1: drop the machine's file cache before each pass; needs root on Linux"
    },
    runs: { about: "runs of each variant, default 3" }
  },
  ask: async (bench) => {
    const { given, seed, log } = bench
    const blobs = given.blobs ?? 1_000_000
    const lost = given.lost ?? Math.min(10_000, Math.floor(blobs / orphanEvery))
    const runs = given.runs ?? 3
    ensure(runs > 0, "--runs must be above 0")
    const cold = given.cold ?? 0
    const executions = await rehearse(bench)
    log(`writing ${blobs} blobs and their references`)
    const catalogue = await load(bench, databaseName(), { seed, blobs, orphanEvery }, lost)
    try {
      // The first variant must not be the first to read the new rows.
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
  readonly passes: Record<PassVariant, Measurement<Pass>>
  readonly reviews: Record<ReviewVariant, Measurement<Review>>
}

const round = async (bench: Bench, catalogue: Catalogue, run: number, isCold: boolean): Promise<Round> => {
  const passes = await inRotation(run, passVariants, async (variant) => {
    if (isCold) dropFileCache()
    const measurement = await pass(bench, catalogue, variant, settings)
    bench.log(`run ${run}: ${variant} found ${catalogue.orphans.count} orphans in ${seconds(measurement)}`)
    return measurement
  })
  const reviews = await inRotation(run, reviewVariants, async (variant) => {
    const measurement = await review(bench, catalogue, variant, settings)
    bench.log(
      `run ${run}: ${variant} reviewed ${measurement.outcome.candidates} candidates in ${seconds(measurement)}`
    )
    return measurement
  })
  return { passes, reviews }
}

/** Drops the file cache. PostgreSQL's own buffers stay. */
const dropFileCache = (): void => {
  try {
    execFileSync("sync")
    writeFileSync("/proc/sys/vm/drop_caches", "3")
  } catch (error) {
    throw new NoFigures(`the file cache could not be dropped. This needs root on Linux: ${error}`)
  }
}

const seconds = ({ millis }: { readonly millis: number }) => `${(millis / 1000).toFixed(2)} s`

/**
 * Checks on many small pages that the verifications detect a missing orphan and a review that did not happen,
 * that all variants work, and that the floors execute the collector's statements. Returns how many statements
 * were compared.
 */
const rehearse = async (bench: Bench): Promise<number> => {
  bench.log("rehearsal")
  const silent = { ...bench, nodeOptions: [] }
  const recorded: Settings = { scanPage: 50, records: true }
  const catalogue = await load(silent, databaseName(), { seed: bench.seed, blobs: 1230, orphanEvery }, 60)
  try {
    await ensureDetected("that no review had run", () => catalogue.losses.verify("no variant"))
    const passes = await inRotation(1, passVariants, (variant) => pass(silent, catalogue, variant, recorded))
    const reviews = await inRotation(1, reviewVariants, (variant) =>
      review(silent, catalogue, variant, recorded)
    )
    await inRotation(1, passVariants, (variant) => pass(silent, catalogue, variant, recorded))
    await referToOne(catalogue)
    for (const variant of passVariants) {
      await ensureDetected(`that ${variant} missed an orphan`, () =>
        pass(silent, catalogue, variant, recorded)
      )
    }
    return (
      ensureSame("find", "verify/bench/sweep/Statements.ts", statements(passes)) +
      ensureSame("find", "verify/bench/find/ReviewStatements.ts", statements(reviews))
    )
  } finally {
    await catalogue.drop()
  }
}

const statements = ({ floor, find }: Record<"floor" | "find", Measurement<Pass | Review>>) => ({
  floor: floor.outcome.statements,
  measured: find.outcome.statements
})

/** Refers to an orphan. */
const referToOne = ({ url }: Catalogue) =>
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
  const each = (value: (measurement: Measurement<Pass>) => number) => ({
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
      `Each pass found exactly the ${orphans} orphans, by their number and the sum of their hashes, which the server computed from the numbers of the blobs.`,
      `Of ${2 * lost} blobs that lost a reference, each review sighted exactly the ${lost} that had no other, and left no candidate. The baseline of its figure is the collector's pass over everything in the same run.`,
      `In a rehearsal, floors and collector executed the same ${executions} statements, equally often. A missing orphan and a review that did not happen were detected.`
    ]
  }
}
