/**
 * How many condemned rows a second can be purged, and what does each cost, with no store at all? Beside the same
 * statements without a collector around them, and beside deleting one row at a time.
 */
import { insistNoticed } from "./harness/Control.ts"
import { type Dataset, load } from "./harness/Dataset.ts"
import { type Answer, type Bench, type Figure, insist, type Question } from "./harness/Question.ts"
import { insistSame } from "./harness/Recorder.ts"
import { inTurns } from "./harness/Turns.ts"
import { type Contender, contenders, type Performance, perform, type Settings } from "./purge/Contest.ts"
import { defaults } from "./sweep/Contest.ts"

export const question: Question = {
  name: "purge",
  asks: "purging condemned rows without a store, beside the same SQL in a bare loop, and one row at a time",
  options: {
    blobs: { about: "blobs in the catalogue, default twice the orphans" },
    orphans: { about: "those that are condemned, default 100,000" },
    runs: { about: "runs of each contender, default 3" },
    sample: { about: "rows the baseline deletes before it stops, default 2,000" }
  },
  ask: async (bench) => {
    const { given, seed, log } = bench
    const orphans = given.orphans ?? (given.blobs === undefined ? 100_000 : Math.floor(given.blobs / 2))
    const blobs = given.blobs ?? 2 * orphans
    const runs = given.runs ?? 3
    const sample = Math.min(given.sample ?? 2000, orphans)
    insist(runs > 0, "no runs measure nothing")
    insist(sample > 0, "a sample of nothing measures nothing")
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

type Round = Record<Contender, Performance>

const settingsFor = (sample: number): Settings => {
  const { batch, concurrency } = defaults
  return { batch, concurrency, sample, records: false }
}

const round = (bench: Bench, dataset: Dataset, run: number, sample: number): Promise<Round> =>
  inTurns(run, contenders, async (who) => {
    const performance = await perform(bench, dataset, who, settingsFor(sample))
    const { millis, outcome } = performance.effort
    bench.log(`run ${run}: ${who} purged ${outcome.purged} rows in ${(millis / 1000).toFixed(2)} s`)
    return performance
  })

/**
 * On a few small pages: that the verification notices a purge that did not happen, that all contenders work, and that
 * the floor issues the collector's statements. Answers how many statements were compared.
 */
const rehearse = async (bench: Bench): Promise<number> => {
  bench.log("rehearsal")
  const silent = { ...bench, log: () => {}, nodeOptions: [] }
  const dataset = await load(bench.servers, { seed: bench.seed, blobs: 1200, orphans: 600 }, silent.log)
  const settings = { ...settingsFor(10), batch: 250, records: true }
  try {
    await dataset.freshRows()
    await insistNoticed("that no row had been purged", () => dataset.verifyRows("nobody"))
    await insistNoticed("that nothing had been settled", () => dataset.verifySettled("nobody"))
    const { floor, purge } = await inTurns(1, contenders, (who) => perform(silent, dataset, who, settings))
    return insistSame("purge", "verify/bench/sweep/Statements.ts", {
      floor: floor.effort.outcome.statements,
      measured: purge.effort.outcome.statements
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
  const each = (value: (performance: Performance) => number) => ({
    measured: rounds.map(({ purge }) => value(purge)),
    floor: rounds.map(({ floor }) => value(floor)),
    baseline: rounds.map(({ baseline }) => value(baseline))
  })
  const figures: ReadonlyArray<Figure> = [
    {
      name: "rate",
      unit: "rows/s",
      ...each(({ effort: { millis, outcome } }) => (outcome.purged * 1000) / millis)
    },
    {
      name: "CPU of the process",
      unit: "ms/1000 rows",
      ...each(({ effort: { cpuMillis, outcome } }) => (cpuMillis * 1000) / outcome.purged)
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
      `After each baseline, exactly its ${sample} rows were gone, from which its rate and its CPU are; then the rest went the same way, unmeasured but for their log, and exactly the orphans' rows were gone.`,
      `In a rehearsal, floor and purge executed the same ${executions} statements, as often; and verifying what nobody had purged failed.`
    ]
  }
}
