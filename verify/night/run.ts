/**
 * A night in miniature: hours of traffic in a few minutes. Three replicas of `serve` collect with waits of seconds, teams
 * push, tag, delete and pull, and in turn the store is cut, hung and full, the database crashes, a collector has other
 * settings, an operator pauses, and a breaker opens.
 *
 *   npm run test:night [-- [--minutes N] [--pictures FOLDER] [--only WORD]]
 *
 * It checks that page and `status --json` tell each moment in time and keep telling it, that no acknowledged image is lost,
 * that all garbage is deleted at the end, that the memory of the replicas stays flat, and that each warning in their logs
 * has a next step. It needs the servers of `npm run servers -- install`, and Chromium for the pictures.
 *
 * It takes about five minutes by default. With `--minutes` the moments are repeated for at least so long. With `--only` it has
 * those moments alone whose name contains a word.
 *
 * Exit codes: 0 when every check passed; 1 when any did not.
 * ARTIFACT_GC_TEST_TALLY names a file to which "night passed failed skipped" is appended.
 */
import assert from "node:assert/strict"
import { resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { onEndingSignal, runProgram, tally, Usage } from "../../tools/Program.ts"
import { Group } from "../../tools/servers/Processes.ts"
import { Report } from "../acceptance/clients/Report.ts"
import * as Claims from "./Claims.ts"
import * as Ending from "./Ending.ts"
import { grouped, hasAction, warningsOf } from "./Logs.ts"
import * as Memory from "./Memory.ts"
import { collectors, happen, momentsOf } from "./Moments.ts"
import * as Screens from "./Screens.ts"
import * as Secrets from "./Secrets.ts"
import * as Traffic from "./Traffic.ts"
import { tell } from "./Views.ts"
import * as World from "./World.ts"

const teams = 6

/** Node enlarges its heap at first. Pools, caches and compiled code fill up. */
const warmUpMillis = 45_000

/** Megabytes that a replica may have. Node takes room for its heap that it later does not need. */
const residentMax = 400

/** Megabytes by which the resident memory may grow, where the night is long enough for Node to have taken that room. */
const growthMax = 40
const growthMinutes = 10

/** Megabytes by which the heap in use may grow. A leak shows here first. */
const heapGrowthMax = 6

const optionsOf = (args: ReadonlyArray<string>) => {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { minutes: { type: "string" }, pictures: { type: "string" }, only: { type: "string" } }
    })
    const minutes = Number(values.minutes ?? 0)
    if (Number.isFinite(minutes) && minutes >= 0)
      return { minutes, pictures: values.pictures ?? null, only: values.only ?? "" }
  } catch {}
  throw new Usage("Usage: npm run test:night -- [--minutes N] [--pictures FOLDER] [--only WORD]")
}

type Options = ReturnType<typeof optionsOf>

/** Requests that a client repeats are no failures of a moment that had ended so long ago. */
const settlesMillis = 15_000

const say = (text: string) => process.stdout.write(`${text}\n`)

const seconds = (millis: number): string => (millis / 1000).toFixed(1)

const night = async (report: Report, group: Group, { minutes, only, pictures }: Options) => {
  const beganAt = Date.now()
  const world = await World.start(group)
  const screens = await Screens.open(pictures === null ? null : resolve(pictures))
  const traffic = Traffic.start(
    world.replicas.map(({ url }) => url),
    teams
  )
  const disturbed: Array<readonly [from: number, to: number]> = []
  await sleep(warmUpMillis)
  const memory = Memory.watch(world.replicas)
  await report.check({
    name: "page and status tell that all is well",
    run: async () => `told after ${seconds(await tell(world.places, Claims.calm(collectors), 20_000))} s`
  })
  await screens.take("well", world.places.pages[0] ?? "")
  const moments = momentsOf(world).filter(({ name }) => name.includes(only))
  do {
    for (const moment of moments) {
      const from = Date.now()
      await report.check({
        name: `page and status tell: ${moment.name}`,
        run: async () => {
          const { toldMillis, wellMillis } = await happen(world, screens, moment)
          return `told after ${seconds(toldMillis)} s, well after ${seconds(wellMillis)} s`
        }
      })
      if (moment.disturbs) disturbed.push([from, Date.now() + settlesMillis])
    }
  } while (Date.now() - beganAt < minutes * 60_000)
  const images = await traffic.end()
  const undisturbed = traffic.failures.filter(
    ({ at }) => !disturbed.some(([from, to]) => at >= from && at <= to)
  )
  const { builds, pulls, requests } = traffic.counts()
  say(`${builds} builds, ${pulls} pulls, ${requests} requests, ${traffic.failures.length} failed builds`)
  await report.suite({
    checks: [
      { name: "teams built", run: async () => assert.ok(builds > 50, `${builds} builds`) },
      {
        name: "no request failed while store and database worked",
        run: async () => assert.deepEqual(undisturbed.slice(0, 5), [])
      },
      ...Ending.checks(world, images),
      {
        name: "page and status tell at the end that all is well",
        run: async () => `told after ${seconds(await tell(world.places, Claims.calm(collectors), 20_000))} s`
      },
      ...memory().map(({ first, heap, last, name, peak, perHour }) => ({
        name: `the memory of ${name} stays flat`,
        run: async () => {
          const text = `heap in use ${heap.first} MB, then ${heap.last} MB, by ${heap.collections} full collections; resident ${first.toFixed(0)} MB, then ${last.toFixed(0)} MB, at most ${peak.toFixed(0)} MB, ${perHour.toFixed(0)} MB an hour`
          assert.ok(peak <= residentMax, text)
          assert.ok(minutes < growthMinutes || last - first <= growthMax, text)
          assert.ok(heap.last - heap.first <= heapGrowthMax, text)
          return text
        }
      })),
      Secrets.check(world),
      {
        name: "each warning has a next step",
        run: async () => {
          const warnings = world.replicas.flatMap(({ logFile }) => warningsOf(logFile))
          for (const [text, count] of grouped(warnings)) say(`        ${count} × ${text}`)
          assert.ok(warnings.length > 0, "an outage is logged")
          assert.deepEqual(grouped(warnings.filter((warning) => !hasAction(warning))), [])
          return `${warnings.length} warnings and errors`
        }
      }
    ]
  })
  await screens.take("morning", world.places.pages[0] ?? "")
  await screens.close()
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const options = optionsOf(args)
  const group = new Group()
  onEndingSignal(() => void group.stop().finally(() => process.exit(1)))
  const report = new Report()
  try {
    await night(report, group, options)
  } finally {
    await group.stop()
  }
  tally("night", report)
  say(`\n${report.passed} passed, ${report.failed} failed`)
  return report.failed === 0 && report.passed > 0 ? 0 : 1
}

runProgram(main)
