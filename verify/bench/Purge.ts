/**
 * How many condemned rows a second can be purged, and what does each cost, without a store? The floor is the
 * same statements in a loop. The baseline deletes one row at a time.
 */
import { type Dataset, load } from "./harness/Dataset.ts"
import {
  type Answer,
  type Bench,
  ensure,
  ensureDetected,
  type Figure,
  type Question
} from "./harness/Question.ts"
import { ensureSame } from "./harness/Recorder.ts"
import { inRotation } from "./harness/Rotation.ts"
import {
  measureVariant,
  type PurgeMeasurement,
  type Settings,
  type Variant,
  variants
} from "./purge/Variants.ts"
import { defaults } from "./sweep/Variants.ts"

/** The question. */
export const question: Question = {
  name: "purge",
  asks: "purging condemned rows without a store, beside the same SQL in a loop, and one row at a time",
  options: {
    blobs: { about: "blobs in the catalogue, default twice the orphans" },
    orphans: { about: "condemned blobs, default 100,000" },
    runs: { about: "runs of each variant, default 3" },
    sample: { about: "rows the baseline deletes before it stops, default 2,000" }
  },
  ask: async (bench) => {
    const { given, seed, log } = bench
    const orphans = given.orphans ?? (given.blobs === undefined ? 100_000 : Math.floor(given.blobs / 2))
    const blobs = given.blobs ?? 2 * orphans
    const runs = given.runs ?? 3
    const sample = Math.min(given.sample ?? 2000, orphans)
    ensure(runs > 0, "--runs must be above 0")
    ensure(sample > 0, "--sample must be above 0")
    const executions = await rehearse(bench)
    const dataset = await load(bench.servers, { seed, blobs, orphans }, log)
    try {
      const rounds: Array<Round> = []
      for (let run = 1; run <= runs; run++) rounds.push(await round(bench, dataset, run, sample))
      return answer({ blobs, orphans, runs, sample, seed }, rounds, executions)
    } finally {
      await dataset.drop()
    }
  }
}

type Round = Record<Variant, PurgeMeasurement>

const settingsFor = (sample: number): Settings => {
  const { batch, concurrency } = defaults
  return { batch, concurrency, sample, records: false }
}

const round = (bench: Bench, dataset: Dataset, run: number, sample: number): Promise<Round> =>
  inRotation(run, variants, async (variant) => {
    const purge = await measureVariant(bench, dataset, variant, settingsFor(sample))
    const { millis, outcome } = purge.measurement
    bench.log(`run ${run}: ${variant} purged ${outcome.purged} rows in ${(millis / 1000).toFixed(2)} s`)
    return purge
  })

/**
 * Checks on a few small pages that the verification detects a purge that did not happen, that all variants
 * work, and that the floor executes the collector's statements. Returns how many statements were compared.
 */
const rehearse = async (bench: Bench): Promise<number> => {
  bench.log("rehearsal")
  const silent = { ...bench, log: () => {}, nodeOptions: [] }
  const dataset = await load(bench.servers, { seed: bench.seed, blobs: 1200, orphans: 600 }, silent.log)
  const settings = { ...settingsFor(10), batch: 250, records: true }
  try {
    await dataset.freshRows()
    await ensureDetected("that no row was purged", () => dataset.verifyRows("no variant"))
    await ensureDetected("that the collector's tables are not empty", () =>
      dataset.verifySettled("no variant")
    )
    const { floor, purge } = await inRotation(1, variants, (variant) =>
      measureVariant(silent, dataset, variant, settings)
    )
    return ensureSame("purge", "verify/bench/sweep/Statements.ts", {
      floor: floor.measurement.outcome.statements,
      measured: purge.measurement.outcome.statements
    })
  } finally {
    await dataset.drop()
  }
}

const answer = (
  parameters: Answer["parameters"],
  rounds: ReadonlyArray<Round>,
  executions: number
): Answer => {
  const { orphans = 0, sample = 0 } = parameters
  const each = (value: (purge: PurgeMeasurement) => number) => ({
    measured: rounds.map(({ purge }) => value(purge)),
    floor: rounds.map(({ floor }) => value(floor)),
    baseline: rounds.map(({ baseline }) => value(baseline))
  })
  const figures: ReadonlyArray<Figure> = [
    {
      name: "rate",
      unit: "rows/s",
      ...each(({ measurement: { millis, outcome } }) => (outcome.purged * 1000) / millis)
    },
    {
      name: "CPU of the process",
      unit: "ms/1000 rows",
      ...each(({ measurement: { cpuMillis, outcome } }) => (cpuMillis * 1000) / outcome.purged)
    },
    {
      name: "write-ahead log",
      unit: "bytes/row",
      ...each(({ walBytes }) => walBytes / orphans)
    }
  ]
  return {
    parameters,
    figures,
    verified: [
      `After each purge and each floor, exactly the ${orphans} orphans had lost their rows, and the collector's tables were empty.`,
      `After each baseline, exactly its ${sample} rows were deleted. Its rate and CPU are those of this sample. Then the rest was deleted in the same way, measuring only the log, and exactly the orphans' rows were gone.`,
      `In a rehearsal, floor and purge executed the same ${executions} statements, equally often. Verifying rows that no variant had purged failed.`
    ]
  }
}
