/**
 * What does it cost to be watched? Two replicas of `serve` run side by side on one catalogue, the same binary: one with the
 * port for operators, whose metrics are read every 15 seconds and whose page is loaded every 30, and one without the port.
 * Both sweep, write the history and tell what they do. Nothing else happens.
 *
 * CPU time is what the kernel counts for each process, so another load on the machine changes it little.
 */
import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { type Daemon, freePort, Group } from "../../tools/servers/Processes.ts"
import { migrate, type Settings, startReplica } from "../acceptance/Replicas.ts"
import { type Answer, type Bench, ensure, type Question } from "./harness/Question.ts"

/** Percent of one core. */
const cpuMax = 2
const megabytesMax = 15

const scrapeMillis = 15_000
const pageMillis = 30_000

/** Code is compiled and pools are filled until then. */
const warmUpMillis = 30_000

/** The question. */
export const question: Question = {
  name: "operating",
  asks: "CPU and memory of the port for operators, of metrics that are scraped and of a page that is loaded, beside the same service without",
  options: {
    seconds: { about: "seconds that are measured in each run, default 90" },
    runs: { about: "runs, each with both services anew, default 3" }
  },
  ask: async (bench) => {
    const seconds = bench.given.seconds ?? 90
    const runs = bench.given.runs ?? 3
    ensure(seconds >= 30 && runs > 0, "--seconds must be 30 at least, and --runs above 0")
    ensure(bench.servers.s3.isThrowAway, "it makes tables, so it starts its own servers")
    const pairs: Array<Pair> = []
    for (let run = 1; run <= runs; run++) {
      const pair = await measurePair(bench, seconds * 1000)
      pairs.push(pair)
      bench.log(
        `run ${run}: ${pair.watched.percent.toFixed(2)} % and ${pair.watched.megabytes.toFixed(0)} MB, without ${pair.plain.percent.toFixed(2)} % and ${pair.plain.megabytes.toFixed(0)} MB`
      )
    }
    return answer({ seconds, runs }, pairs)
  }
}

interface Use {
  /** Percent of one core. */
  readonly percent: number
  /** The median of the resident memory. */
  readonly megabytes: number
}

interface Pair {
  readonly watched: Use
  readonly plain: Use
  readonly scrapes: number
  readonly pages: number
}

const measurePair = async ({ servers }: Bench, millis: number): Promise<Pair> => {
  const group = new Group()
  try {
    const found = { databaseUrl: servers.databaseUrl, poolerUrl: servers.databaseUrl, s3: servers.s3 }
    await migrate(group, found)
    const port = String(await freePort())
    const start = (name: string, settings: Settings) =>
      startReplica(group, found, name, {
        settings: { GC_INTERVAL: "1 minute", GC_JITTER: "0 seconds", ...settings }
      })
    const [watched, plain] = await Promise.all([
      start("watched", { OPS_PORT: port }),
      start("plain", { OPS_PORT: "off" })
    ])
    const reading = { scrapes: 0, pages: 0, isOver: false }
    const read = async (path: string, every: number, counts: "scrapes" | "pages") => {
      while (!reading.isOver) {
        const response = await fetch(`http://127.0.0.1:${port}${path}`)
        const text = await response.text()
        ensure(response.ok && text.length > 1000, `${path} answered ${response.status}`)
        reading[counts] += 1
        await sleep(every)
      }
    }
    const readers = Promise.all([read("/metrics", scrapeMillis, "scrapes"), read("/", pageMillis, "pages")])
    await sleep(warmUpMillis)
    const uses = await Promise.all([measureUse(watched.daemon, millis), measureUse(plain.daemon, millis)])
    reading.isOver = true
    await group.stop()
    await readers
    return { watched: uses[0], plain: uses[1], scrapes: reading.scrapes, pages: reading.pages }
  } finally {
    await group.stop()
  }
}

/** The kernel counts CPU time in hundredths of a second. */
const ticksPerSecond = 100

const cpuSeconds = ({ pid }: Daemon): number => {
  // Fields 14 and 15, counted behind the name in parentheses, which may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

const residentMegabytes = ({ pid }: Daemon): number => {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  return (Number(kilobytes) * 1024) / 1e6
}

const measureUse = async (daemon: Daemon, millis: number): Promise<Use> => {
  const sizes: Array<number> = []
  const began = performance.now()
  const before = cpuSeconds(daemon)
  while (performance.now() - began < millis) {
    sizes.push(residentMegabytes(daemon))
    await sleep(1000)
  }
  const took = (performance.now() - began) / 1000
  sizes.sort((a, b) => a - b)
  return {
    percent: (100 * (cpuSeconds(daemon) - before)) / took,
    megabytes: sizes[Math.floor(sizes.length / 2)] ?? Number.NaN
  }
}

/** A difference that noise makes less than nothing is no figure. */
const atLeast = (difference: number): number => Math.max(0.001, difference)

const answer = (parameters: Answer["parameters"], pairs: ReadonlyArray<Pair>): Answer => ({
  parameters,
  figures: [
    {
      name: "CPU of a service",
      unit: "% of a core",
      measured: pairs.map(({ watched }) => watched.percent),
      floor: pairs.map(({ plain }) => atLeast(plain.percent))
    },
    {
      name: "of this for being watched",
      unit: "% of a core",
      measured: pairs.map(({ plain, watched }) => atLeast(watched.percent - plain.percent)),
      limit: cpuMax
    },
    {
      name: "resident memory of a service",
      unit: "MB",
      measured: pairs.map(({ watched }) => watched.megabytes),
      floor: pairs.map(({ plain }) => plain.megabytes)
    },
    {
      name: "of this for being watched",
      unit: "MB",
      measured: pairs.map(({ plain, watched }) => atLeast(watched.megabytes - plain.megabytes)),
      limit: megabytesMax
    }
  ],
  verified: [
    `In each run metrics were read ${pairs.map(({ scrapes }) => scrapes).join(", ")} times and the page ${pairs.map(({ pages }) => pages).join(", ")} times, each with status 200. The floor is the same service without the port.`
  ]
})
