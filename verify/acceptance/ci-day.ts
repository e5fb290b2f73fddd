/**
 * A day of CI, in miniature, on `serve --try` with its default breakers: four teams with three repositories each push and
 * tag every build, move `latest` along and delete the tag of the sixth oldest build. No sweep may be refused, every image
 * with a tag must be whole, and in the end the store holds exactly what these images need.
 *
 *   npm run test:ci-day [-- SECONDS]
 *
 * It takes SECONDS (240 without) and three minutes at most for the waits of `serve --try`. It needs no server: the
 * registry brings an embedded PostgreSQL and keeps its objects as files.
 *
 * Exit codes: 0 when every check passed; 1 when any did not.
 * ARTIFACT_GC_TEST_TALLY names a file to which "ci-day passed failed skipped" is appended.
 */
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { onEndingSignal, runProgram, tally } from "../../tools/Program.ts"
import { fileAt } from "../../tools/Repository.ts"
import { type Daemon, freePort, Group, until } from "../../tools/servers/Processes.ts"
import { Client, type Image, measured, work } from "./ciDay/Team.ts"
import { Report } from "./clients/Report.ts"

const teams = 4
const repositoriesPerTeam = 3
const sharedLayers = 3
const sharedBytes = 200_000

/** Hold, grace, quarantine and the grace of untagged manifests of `serve --try`, and its sweeps, with time to spare. */
const settleMillis = 180_000

const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Counts files. A folder that is deleted while it is read has none. */
const filesBelow = (folder: string): number => {
  try {
    return readdirSync(folder, { withFileTypes: true }).reduce(
      (sum, entry) =>
        sum + (entry.isDirectory() ? filesBelow(join(folder, entry.name)) : entry.isFile() ? 1 : 0),
      0
    )
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0
    throw error
  }
}

const residentMegabytes = ({ pid }: Daemon): number => {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  return Math.round(Number(kilobytes ?? 0) / 1024)
}

const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0

const start = async (group: Group, directory: string): Promise<{ url: string; daemon: Daemon }> => {
  const port = await freePort()
  const daemon = group.daemon(
    process.execPath,
    [fileAt("dist/main.js"), "serve", "--try", "--serve-port", String(port)],
    {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, DATA_DIRECTORY: directory },
      logFile: join(group.folder, "registry.log"),
      stopSignal: "SIGTERM"
    }
  )
  const url = `http://127.0.0.1:${port}`
  const isUp = () =>
    fetch(`${url}/v2/`).then(
      (answer) => answer.ok,
      () => false
    )
  await until("the registry", daemon, 60_000, isUp)
  return { url, daemon }
}

/** Runs the teams and returns what they measured, what is tagged in the end, and the memory at its peak. */
const day = async (url: string, daemon: Daemon, seconds: number) => {
  const results = measured()
  const shared = Array.from({ length: sharedLayers }, () => randomBytes(sharedBytes))
  const end = Date.now() + seconds * 1000
  let peak = 0
  const watch = setInterval(() => {
    peak = Math.max(peak, residentMegabytes(daemon))
  }, 1000)
  const images = await Promise.all(
    Array.from({ length: teams }, (_, team) => {
      const names = Array.from({ length: repositoriesPerTeam }, (_, n) => `team${team}/app${n}`)
      return work(new Client(url, results), names, shared, end)
    })
  )
  clearInterval(watch)
  return { images: images.flat(), results, peak }
}

const neededBy = (images: ReadonlyArray<Image>): number =>
  new Set(images.flatMap(({ blobs, manifest }) => [manifest, ...blobs])).size

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const seconds = Number(args[0] ?? 240)
  const group = new Group()
  onEndingSignal(() => void group.stop().finally(() => process.exit(1)))
  const report = new Report()
  try {
    const directory = join(group.folder, "data")
    const { daemon, url } = await start(group, directory)
    const { images, peak, results } = await day(url, daemon, seconds)
    const objects = join(directory, "objects")
    const thereAtEnd = filesBelow(objects)
    const needed = neededBy(images)
    const endedAt = Date.now()
    while (filesBelow(objects) > needed && Date.now() - endedAt < settleMillis) await sleep(1000)
    const settled = Math.round((Date.now() - endedAt) / 1000)
    const there = filesBelow(objects)
    const refused = (daemon.log().match(/Sweep refused/g) ?? []).length
    const sorted = [...results.millis].sort((a, b) => a - b)
    const figure = (share: number) => percentile(sorted, share).toFixed(1)
    process.stdout.write(
      [
        `${results.builds} builds, ${results.pulls} pulls, ${sorted.length} requests, ${results.errors.length} errors in ${seconds} s`,
        `p50 ${figure(0.5)} ms, p99 ${figure(0.99)} ms, slowest ${figure(1)} ms`,
        `resident memory ${peak} MB at most`,
        `objects: ${thereAtEnd} at the end, ${there} after another ${settled} s, ${needed} needed`,
        `sweeps refused: ${refused}`,
        ""
      ].join("\n")
    )
    const reader = new Client(url, measured())
    await report.suite({
      checks: [
        {
          name: "no request failed",
          run: async () => assert.deepEqual(results.errors.slice(0, 5), [])
        },
        { name: "teams built", run: async () => assert.ok(results.builds > teams * repositoriesPerTeam * 5) },
        { name: "no sweep was refused", run: async () => assert.equal(refused, 0) },
        {
          name: "the store holds what is needed, and nothing else",
          run: async () => assert.equal(there, needed)
        },
        {
          name: "every image with a tag is whole",
          run: async () => {
            for (const image of images) await reader.pull(image)
          }
        }
      ]
    })
    if (report.failed > 0) process.stdout.write(`${daemon.log().slice(-8000)}\n`)
  } finally {
    await group.stop()
  }
  tally("ci-day", report)
  process.stdout.write(`\n${report.passed} passed, ${report.failed} failed\n`)
  return report.failed === 0 && report.passed > 0 ? 0 : 1
}

runProgram(main)
