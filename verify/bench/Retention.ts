/**
 * What do sweeps with retention rules cost in a big registry? A sweep that finds nothing new must not cost more in a registry of
 * ten times the tags, and no statement may grow with it.
 */
import { randomBytes } from "node:crypto"
import { countsOf, create, type RegistryShape, repositoryOf } from "./harness/BigRegistry.ts"
import { withConnection } from "./harness/Postgres.ts"
import { type Answer, type Bench, ensure, type Question } from "./harness/Question.ts"
import { type Measurement, measure } from "./harness/Variant.ts"
import type { RetentionOutcome, RetentionTask, Swept } from "./retention/Sweeps.ts"

/** Most that the statements of an idle sweep take, beside those in the smaller registry. */
const idleRatioMax = 2
/** Longest statement of any sweep. */
const statementMillisMax = 1000
/** The smaller registry has so many times fewer repositories. */
const times = 10
/** Tags that the rules remove of each repository. */
const removed = 8
/** Repositories that are pushed to. */
const pushedRepositories = 100

/** The question. */
export const question: Question = {
  name: "retention",
  asks: "sweeps with retention rules in a big registry and one of a tenth: new rules, idle, after pushes",
  options: {
    repositories: { about: "repositories of the big one, default 2,000" },
    tags: { about: "tags of each repository, default 250" },
    pushes: { about: "tags that are pushed before the last sweep, default 1,000" }
  },
  ask: async (bench) => {
    const repositories = bench.given.repositories ?? 2000
    const tags = bench.given.tags ?? 250
    const pushes = bench.given.pushes ?? 1000
    ensure(
      repositories >= times * pushedRepositories,
      `--repositories must be at least ${times * pushedRepositories}`
    )
    ensure(tags > 2 * removed && pushes >= pushedRepositories, "--tags or --pushes is too small")
    const shape = { seed: bench.seed, tags, now: Date.now() }
    const big = await sweeping(bench, { ...shape, repositories }, pushes)
    const small = await sweeping(bench, { ...shape, repositories: repositories / times }, pushes)
    return answer({ repositories, tags, pushes }, { big, small })
  }
}

const sweeping = async (bench: Bench, shape: RegistryShape, pushes: number) => {
  const name = `artifact_gc_retention_${randomBytes(4).toString("hex")}`
  const counts = countsOf(shape)
  bench.log(`writing ${counts.tags} tags, ${counts.manifests} manifests and ${counts.references} references`)
  try {
    const databaseUrl = await create(bench.servers.databaseUrl, name, shape)
    const keep = [{ newest: shape.tags - removed }, { tags: ["release-*"] }, { pushedWithin: "1 hour" }]
    const task: RetentionTask = {
      databaseUrl,
      rules: JSON.stringify({ policies: [{ repositories: ["**"], keep }] }),
      push: [pushing(shape, pushes)]
    }
    bench.log("sweeping")
    const file = new URL("./retention/Sweeps.js", import.meta.url)
    const measured = await measure<RetentionOutcome>(file, task, bench.nodeOptions)
    for (const { databaseMillis, millis, name, seen, slowest, slowestMillis, statements, sweeps } of measured
      .outcome.swept)
      bench.log(
        `${name}: ${millis} ms, ${(databaseMillis / sweeps).toFixed(1)} ms of ${statements / sweeps} statements, ${seen} tags judged in ${sweeps} sweeps; the longest statement ${slowestMillis.toFixed(1)} ms: ${slowest.replaceAll(/\s+/g, " ").slice(0, 90)}`
      )
    const left = await withConnection(databaseUrl, (connection) =>
      connection.query("SELECT count(*)::int AS n FROM artifact_registry.tags")
    )
    verify(shape, pushes, measured.outcome.swept, Number(left[0]?.n))
    return measured
  } finally {
    await withConnection(bench.servers.databaseUrl, (connection) =>
      connection.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    )
  }
}

/** Pushes new tags of manifests that have another tag, to the first repositories. */
const pushing = (shape: RegistryShape, pushes: number): string => {
  const number = `(k % ${pushedRepositories} + 1) * ${shape.tags} - k / ${pushedRepositories}`
  const repository = repositoryOf(shape, `(${number})`)
  return `
    INSERT INTO artifact_registry.tags (repository, name, digest, pushed_at)
    SELECT t.repository, 'pushed-' || k, t.digest, now() FROM generate_series(0, ${pushes - 1}) k
    JOIN artifact_registry.tags t
      ON t.repository = ${repository} AND t.name = 'build-' || ((${number}) - 1) % ${shape.tags}`
}

const verify = (
  { repositories, tags }: RegistryShape,
  pushes: number,
  swept: ReadonlyArray<Swept>,
  left: number
): void => {
  const [dryRun, asking, removing, idle, pushed] = swept
  const all = repositories * tags
  const gone = repositories * removed
  ensure(
    dryRun?.seen === all && dryRun.eligible === gone,
    `a dry run would remove ${dryRun?.eligible} of ${dryRun?.seen} tags`
  )
  ensure(
    asking?.seen === all && asking.eligible === 0,
    `new rules judged ${asking?.seen} of ${all} tags, and removed some`
  )
  ensure(removing?.eligible === gone, `${removing?.eligible} of ${gone} tags were removed`)
  ensure(idle?.seen === 0 && idle.eligible === 0, `idle sweeps judged ${idle?.seen} tags`)
  ensure(pushed?.eligible === pushes, `${pushed?.eligible} tags were removed after ${pushes} pushes`)
  ensure(left === all - gone, `${left} tags are left of ${all}`)
}

interface Found {
  readonly big: Measurement<RetentionOutcome>
  readonly small: Measurement<RetentionOutcome>
}

const answer = (parameters: Answer["parameters"], { big, small }: Found): Answer => {
  const steps = big.outcome.swept.map((one, n) => ({ big: one, small: small.outcome.swept[n] ?? one }))
  const databaseMillis = ({ databaseMillis, sweeps }: Swept) => databaseMillis / sweeps
  const slowest = Math.max(...big.outcome.swept.map(({ slowestMillis }) => slowestMillis))
  return {
    parameters,
    figures: [
      ...steps.flatMap((step) => [
        {
          name: `${step.big.name}: statements of a sweep`,
          unit: "ms",
          measured: [databaseMillis(step.big)],
          floor: [databaseMillis(step.small)]
        },
        {
          name: `${step.big.name}: number of statements`,
          unit: "",
          measured: [step.big.statements / step.big.sweeps],
          floor: [step.small.statements / step.small.sweeps]
        }
      ]),
      ...steps
        .filter((step) => step.big.name === "idle")
        .map((step) => ({
          name: "the same of an idle sweep, as a ratio",
          unit: "",
          measured: [databaseMillis(step.big) / databaseMillis(step.small)],
          limit: idleRatioMax
        })),
      { name: "longest statement of any sweep", unit: "ms", measured: [slowest], limit: statementMillisMax },
      {
        name: "peak RSS",
        unit: "MB",
        measured: [big.rssPeakBytes / 1e6],
        floor: [small.rssPeakBytes / 1e6]
      }
    ],
    verified: [
      `The dry run and the first sweep judged every tag, and the first sweep removed none. Exactly ${removed} tags of each repository were removed after the confirmation, and as many as were pushed after the pushes.`,
      "No idle sweep judged a tag. The floor is the same in a registry of a tenth of the repositories."
    ]
  }
}
