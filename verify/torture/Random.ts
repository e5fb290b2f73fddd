/** Minutes of random work by processes that are killed at random, on servers that fail at random. */

import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import * as Postgres from "../../src/database/Postgres.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import * as Actors from "./Actors.ts"
import { type Dice, dice } from "./Dice.ts"
import type { Outcome } from "./Outcome.ts"
import { layers, type Place, requestTimeoutMillis } from "./Place.ts"
import * as S3Proxy from "./S3Proxy.ts"
import * as SqlProxy from "./SqlProxy.ts"
import { judge, settle } from "./Verdict.ts"

const writers = 4
const collectors = 3
/** Of a hundred requests to the store, those that suffer. */
const s3FaultsPercent = 8
/** Of a thousand statements, those whose connection breaks. */
const sqlFaultsPermille = 4
/** From one kill to the next. Starting a process takes most of a second. */
const killMillis = { least: 400, most: 1600 }

interface Options {
  readonly minutes: number
  readonly seed: string
  readonly log: (text: string) => void
}

type Counts = Record<string, number>

const add = (counts: Counts, what: string) => {
  counts[what] = (counts[what] ?? 0) + 1
}
const sum = (counts: Counts): number => Object.values(counts).reduce((a, b) => a + b, 0)

export const run = async (place: Place, { minutes, seed, log }: Options): Promise<Outcome> => {
  const roll = dice(seed)
  const faults: Counts = {}
  const kills: Counts = {}
  const work: Counts = {}
  const lost: Array<string> = []
  const unexpected: Array<string> = []
  let raging = true
  let deleted = 0

  await Effect.runPromise(
    Effect.provide(Effect.orDie(Postgres.migrate(defaultNames, { createCatalog: true })), layers(place))
  )
  const s3 = await S3Proxy.start(
    place.s3.endpoint,
    { before: () => (raging ? s3Fault(roll, faults) : null), after: () => undefined },
    () => requestTimeoutMillis + roll.below(4 * requestTimeoutMillis)
  )
  const sql = await SqlProxy.start(place.databaseUrl, {
    before: () => (raging ? sqlFault(roll, faults) : null),
    after: () => undefined
  })
  const env = { REAL_DATABASE_URL: sql.url, REAL_S3_ENDPOINT: s3.endpoint }

  const onLine = (line: string) => {
    const said = JSON.parse(line) as Record<string, string>
    if (said.lost !== undefined) lost.push(said.lost)
    else if (said.unexpected !== undefined) unexpected.push(said.unexpected)
    else add(work, `${said.did}: ${said.outcome ?? said.failed}`)
    deleted += Number(said.deleted ?? 0)
  }
  const actors = [
    ...Array.from({ length: writers }, (_, n) =>
      Actors.start({
        name: "writer",
        command: [process.execPath, besideMe("Writer.js"), `writer-${n}`, seed],
        env,
        onLine,
        onDeath: (code, words) => void unexpected.push(`writer ${n} ended with ${code}: ${words}`)
      })
    ),
    ...Array.from({ length: collectors }, (_, n) =>
      Actors.start({
        name: "collector",
        command: [process.execPath, besideMe("Collector.js")],
        env,
        onLine,
        onDeath: (code, words) => void unexpected.push(`collector ${n} ended with ${code}: ${words}`)
      })
    )
  ]

  const until = performance.now() + minutes * 60_000
  while (performance.now() < until && lost.length === 0) {
    await sleep(killMillis.least + roll.below(killMillis.most - killMillis.least))
    const victim = actors[roll.below(actors.length)]
    // Most shall get to do something first; some die before that.
    if (victim === undefined || !(victim.hasSpoken() || roll.below(5) === 0)) continue
    victim.kill()
    add(kills, victim.name)
    log(
      `${Math.round((until - performance.now()) / 1000)} s left, ${sum(kills)} kills, ${sum(faults)} faults`
    )
  }

  raging = false
  await Promise.all(actors.map((actor) => actor.end()))
  const late = await s3.release()
  await Promise.all([s3.close(), sql.close()])
  const settled = await settle(place)
  const verdict = await judge(place)
  const problems = [
    ...lost,
    ...verdict.lost,
    ...verdict.leaked.map((what) => `leaked: ${what}`),
    ...unexpected,
    ...(settled ? [] : ["sweeps did not come to an end"]),
    ...(sum(work) > 0 && (work["push: uploaded"] ?? 0) > 0 && deleted > 0
      ? []
      : ["nothing was done, which proves nothing"])
  ]
  const result = {
    minutes,
    seed,
    kills,
    faults,
    late,
    work,
    deleted,
    ...verdict,
    lost: lost.length + verdict.lost.length,
    leaked: verdict.leaked.length,
    problems
  }
  return {
    passed: problems.length === 0 ? 1 : 0,
    failed: problems.length === 0 ? 0 : 1,
    skipped: 0,
    result,
    text: [
      `${minutes} minutes, seed ${seed}: ${sum(kills)} kills, ${sum(faults)} faults, ${sum(work)} things done`,
      `  kills   ${listed(kills)}`,
      `  faults  ${listed(faults)}; ${late} still held back at the end`,
      `  work    ${listed(work)}; ${deleted} objects deleted`,
      `  left    ${verdict.references} references to ${verdict.blobs} blobs, ${verdict.objects} objects; all read back`,
      `  lost: ${result.lost}, leaked: ${result.leaked}`,
      ...problems.slice(0, 20).map((problem) => `  PROBLEM ${problem}`)
    ].join("\n")
  }
}

const besideMe = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const listed = (counts: Counts): string =>
  Object.entries(counts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([what, n]) => `${n} ${what}`)
    .join(", ")

const s3Fault = (roll: Dice, faults: Counts): S3Proxy.S3Fault | null => {
  if (roll.below(100) >= s3FaultsPercent) return null
  const fault = roll.pick(["refuse", "lose", "slow down", "hold", "hold"] as const)
  add(faults, `store: ${fault}`)
  return fault
}

const sqlFault = (roll: Dice, faults: Counts): SqlProxy.SqlFault | null => {
  if (roll.below(1000) >= sqlFaultsPermille) return null
  const fault = roll.pick(["refuse", "lose"] as const)
  add(faults, `database: ${fault}`)
  return fault
}
