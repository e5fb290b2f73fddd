/**
 * What do pulls and pushes cost the serving process, beside a bare `node:http` server that does the same with the SDK, and
 * beside distribution, the CNCF registry?
 *
 * All of them alternate in every run, on the same store and with the same client, so that a busy machine disturbs all.
 */
import type { ChildProcess } from "node:child_process"
import { type Answer, type Bench, ensure, type Figure, type Question } from "./harness/Question.ts"
import * as Distribution from "./registry/Distribution.ts"
import * as Processes from "./registry/Processes.ts"
import {
  blobAt,
  pushed,
  put,
  smallBlobs,
  smallObjects,
  tinyChunks,
  verified,
  warm,
  warmObjects,
  whole
} from "./registry/Work.ts"
import { digestOf } from "./upload/Body.ts"
import * as Meter from "./upload/Meter.ts"
import * as Replica from "./upload/Replica.ts"

const mebibyte = 1024 * 1024

const severalChunks = 8

/** Each byte is received once and sent once, and a fifth of them may be read again. */
const passesMax = 2.2

/** Several chunks are several requests, and are joined by the store. */
const severalOfOneMin = 0.6

/** The question. */
export const question: Question = {
  name: "registry",
  asks: "pulls and pushes of the registry, beside a bare http server that uses the SDK, and beside distribution",
  options: {
    mebibytes: { about: "size of the large blob, default 256" },
    runs: { about: "runs of each figure, default 3" },
    small: { about: "requests of each figure about small blobs, default 400" },
    chunks: { about: "tiny chunks of one push, default 1100" },
    distribution: { about: "0 leaves distribution out, which needs Go to be built; default 1" }
  },
  ask: async (bench) => {
    const mebibytes = bench.given.mebibytes ?? 256
    const parameters = {
      mebibytes,
      runs: bench.given.runs ?? 3,
      small: bench.given.small ?? 400,
      chunks: bench.given.chunks ?? 1100,
      distribution: bench.given.distribution ?? 1
    }
    ensure(mebibytes > 0 && mebibytes % severalChunks === 0, "--mebibytes must be a multiple of 8")
    const meter = await Meter.start(bench.servers.s3.endpoint)
    // Through the meter, whose cost is then part of all.
    const s3 = { ...bench.servers.s3, endpoint: meter.url }
    const databaseUrl = await Replica.freshDatabase(bench.servers)
    const replica = await Replica.start(databaseUrl, s3, bench.nodeOptions)
    const second = await Replica.start(databaseUrl, s3, bench.nodeOptions)
    const floor = await Processes.startFloor(s3)
    const distribution = parameters.distribution === 0 ? null : await Distribution.start(s3, bench.log)
    try {
      for (const { url } of [replica, second, ...(distribution === null ? [] : [distribution])])
        await warm(url)
      await warmObjects(new URL("/artifact-gc-bench/registry-warm-", floor.url))
      const rounds: Array<Round> = []
      for (let run = 1; run <= parameters.runs; run++) {
        rounds.push(await round({ bench, run, parameters, replica, second, floor, distribution, meter }))
      }
      return answer({ ...parameters, distribution: distribution === null ? 0 : 1 }, rounds)
    } finally {
      floor.child.kill()
      await distribution?.stop()
      await Promise.all([replica.stop(), second.stop()])
      meter.close()
    }
  }
}

type Parameters = Readonly<Record<"mebibytes" | "runs" | "small" | "chunks" | "distribution", number>>

interface Serving {
  readonly url: string
  readonly child: ChildProcess
}

interface Setting {
  readonly bench: Bench
  readonly run: number
  readonly parameters: Parameters
  readonly replica: Serving
  /** Takes every other request of some pushes. */
  readonly second: Serving
  readonly floor: Serving
  readonly distribution: Serving | null
  readonly meter: Meter.Meter
}

/** What a piece of work took in the serving processes. */
interface Cost {
  readonly millis: number
  readonly cpuMillis: number
  readonly peakBytes: number
  /** Bytes to and from the store. */
  readonly moved: number
  /** Requests to the store. */
  readonly requests: number
}

const costOf = async (
  { meter }: Setting,
  serving: ReadonlyArray<Serving>,
  work: () => Promise<unknown>
): Promise<Cost> => {
  const children = serving.map(({ child }) => child)
  const cpuMillis = () => children.reduce((sum, child) => sum + Processes.cpuMillis(child), 0)
  for (const child of children) Processes.forgetPeak(child)
  const [bytes, requests, cpu] = [meter.sent() + meter.received(), meter.requests(), cpuMillis()]
  const began = performance.now()
  await work()
  return {
    millis: performance.now() - began,
    cpuMillis: cpuMillis() - cpu,
    peakBytes: Math.max(...children.map(Processes.peakBytes)),
    moved: meter.sent() + meter.received() - bytes,
    requests: meter.requests() - requests
  }
}

/** The work that every registry does. */
type Work = Readonly<Record<"push" | "pull" | "several" | "smallPushes" | "smallPulls" | "heads", Cost>>

interface Round {
  readonly ours: Work
  readonly theirs: Work | null
  readonly floorPush: Cost
  readonly floorPull: Cost
  readonly floorSmallPulls: Cost
  /** Several chunks, each at the other replica. */
  readonly moving: Cost
  readonly tinySent: Cost
  readonly tinyClosed: Cost
}

/** Each piece of work has bytes of its own, because a blob that exists is still received but a store may share its bytes. */
const bodyOf = ({ parameters, run }: Setting, which: number) => {
  const body = { start: (run * 8 + which) * 2 ** 32, sizeBytes: parameters.mebibytes * mebibyte }
  return { body, digest: digestOf(body.sizeBytes, body.start) }
}

const workOf = async (setting: Setting, serving: Serving): Promise<Work> => {
  const { parameters, run } = setting
  const { url } = serving
  const cost = (work: () => Promise<unknown>) => costOf(setting, [serving], work)
  const [one, other] = [bodyOf(setting, 0), bodyOf(setting, 1)]
  const push = await cost(() => pushed(url, one.digest, one.body, { count: 1, named: false }))
  const pull = await cost(() => whole(blobAt(url, one.digest), one.body.sizeBytes))
  const chunks = { count: severalChunks, named: true }
  const several = await cost(() => pushed(url, other.digest, other.body, chunks))
  await verified(blobAt(url, other.digest), other.digest)
  const small = smallBlobs(url, parameters.small, `${run}`)
  return {
    push,
    pull,
    several,
    smallPushes: await cost(small.push),
    smallPulls: await cost(small.pull),
    heads: await cost(small.head)
  }
}

const round = async (setting: Setting): Promise<Round> => {
  const { bench, distribution, floor, parameters, replica, run, second } = setting
  const { body } = bodyOf(setting, 2)
  const key = new URL(`/artifact-gc-bench/registry-${run}`, floor.url)
  const ours = await workOf(setting, replica)
  const floorPush = await costOf(setting, [floor], () => put(key, body))
  const floorPull = await costOf(setting, [floor], () => whole(key, body.sizeBytes))
  const objects = smallObjects(new URL(`/artifact-gc-bench/registry-${run}-`, floor.url), parameters.small)
  await objects.put()
  const floorSmallPulls = await costOf(setting, [floor], objects.get)
  const theirs = distribution === null ? null : await workOf(setting, distribution)
  const moved = bodyOf(setting, 3)
  const chunks = { count: severalChunks, named: true, replicas: [replica.url, second.url] }
  const moving = await costOf(setting, [replica, second], () =>
    pushed(replica.url, moved.digest, moved.body, chunks)
  )
  await verified(blobAt(replica.url, moved.digest), moved.digest)
  const { close, digest, send } = tinyChunks(replica.url, parameters.chunks, `${run}`)
  const tinySent = await costOf(setting, [replica], send)
  const tinyClosed = await costOf(setting, [replica], close)
  await verified(blobAt(replica.url, digest), digest)
  const each = ({ cpuMillis }: Cost) => (cpuMillis / parameters.mebibytes).toFixed(2)
  bench.log(
    `run ${run}, CPU a MiB: pull ${each(ours.pull)} (floor ${each(floorPull)}${theirs === null ? "" : `, distribution ${each(theirs.pull)}`}), push ${each(ours.push)} (floor ${each(floorPush)}${theirs === null ? "" : `, distribution ${each(theirs.push)}`})`
  )
  return { ours, theirs, floorPush, floorPull, floorSmallPulls, moving, tinySent, tinyClosed }
}

const tinyFigures = (chunks: number, rounds: ReadonlyArray<Round>): ReadonlyArray<Figure> => {
  const both = (name: string, cpu: string, cost: (round: Round) => Cost): ReadonlyArray<Figure> => [
    { name, unit: "s", measured: rounds.map((round) => cost(round).millis / 1000) },
    { name: cpu, unit: "ms", measured: rounds.map((round) => cost(round).cpuMillis / chunks) }
  ]
  return [
    ...both(`sending ${chunks} chunks of 10 kB`, "the same, CPU each", ({ tinySent }) => tinySent),
    ...both("closing that push", "the same, CPU a chunk", ({ tinyClosed }) => tinyClosed)
  ]
}

const answer = (parameters: Parameters, rounds: ReadonlyArray<Round>): Answer => {
  const { chunks, mebibytes, small } = parameters
  const rate = ({ millis }: Cost) => (mebibytes * 1000) / millis
  const cpu = ({ cpuMillis }: Cost) => Math.max(cpuMillis, 1) / mebibytes
  const megabytes = ({ peakBytes }: Cost) => peakBytes / 1e6
  const passes = ({ moved }: Cost) => 1 + moved / (mebibytes * mebibyte)
  const requests = ({ requests }: Cost) => requests
  const aSecond = ({ millis }: Cost) => (small * 1000) / millis
  const each = ({ cpuMillis }: Cost) => Math.max(cpuMillis, 1) / small

  const of = (
    name: string,
    unit: string,
    value: (cost: Cost) => number,
    cost: (round: Round) => Cost
  ): Figure => ({
    name,
    unit,
    measured: rounds.map((round) => value(cost(round)))
  })
  /** Work that distribution does too, beside the floor if there is one. */
  const work = (
    name: string,
    unit: string,
    what: keyof Work,
    value: (cost: Cost) => number,
    floor?: "floorPush" | "floorPull" | "floorSmallPulls"
  ): Figure => {
    const theirs = rounds.flatMap((round) => (round.theirs === null ? [] : [value(round.theirs[what])]))
    return {
      ...of(name, unit, value, ({ ours }) => ours[what]),
      ...(theirs.length === 0 ? {} : { baseline: theirs }),
      ...(floor === undefined ? {} : { floor: rounds.map((round) => value(round[floor])) })
    }
  }
  return {
    parameters,
    figures: [
      work("pull", "MiB/s", "pull", rate, "floorPull"),
      work("pull, CPU a MiB", "ms", "pull", cpu, "floorPull"),
      work("pull, peak RSS", "MB", "pull", megabytes, "floorPull"),
      work("push in one chunk", "MiB/s", "push", rate, "floorPush"),
      work("push in one chunk, CPU a MiB", "ms", "push", cpu, "floorPush"),
      work("push in one chunk, peak RSS", "MB", "push", megabytes, "floorPush"),
      work("push in one chunk, S3 requests", "", "push", requests),
      work(`push in ${severalChunks} chunks`, "MiB/s", "several", rate),
      work(`push in ${severalChunks} chunks, CPU a MiB`, "ms", "several", cpu),
      { ...work(`bytes moved a byte, ${severalChunks} chunks`, "", "several", passes), limit: passesMax },
      work(`push in ${severalChunks} chunks, S3 requests`, "", "several", requests),
      {
        name: `push in ${severalChunks} chunks, of the rate in one`,
        unit: "",
        measured: rounds.map(({ ours }) => rate(ours.several) / rate(ours.push)),
        atLeast: severalOfOneMin
      },
      of(`push in ${severalChunks} chunks, each at the other replica`, "MiB/s", rate, ({ moving }) => moving),
      of("the same, CPU a MiB", "ms", cpu, ({ moving }) => moving),
      { ...of("the same, bytes moved a byte", "", passes, ({ moving }) => moving), limit: passesMax },
      {
        name: "the same, of the rate in one",
        unit: "",
        measured: rounds.map(({ moving, ours }) => rate(moving) / rate(ours.push)),
        atLeast: severalOfOneMin
      },
      ...tinyFigures(chunks, rounds),
      work("pulls of 2 kB", "a second", "smallPulls", aSecond, "floorSmallPulls"),
      work("pulls of 2 kB, CPU each", "ms", "smallPulls", each, "floorSmallPulls"),
      work("pulls of 2 kB, peak RSS", "MB", "smallPulls", megabytes, "floorSmallPulls"),
      work("HEAD", "a second", "heads", aSecond),
      work("HEAD, CPU each", "ms", "heads", each),
      work("pushes of 2 kB", "a second", "smallPushes", aSecond),
      work("pushes of 2 kB, CPU each", "ms", "smallPushes", each),
      work("pushes of 2 kB, S3 requests", "", "smallPushes", requests)
    ],
    verified: [
      "Every blob of several chunks was pulled again and had the digest of the bytes that were sent.",
      "Floor: a bare node:http server with the SDK. Baseline: distribution 3.1.2 with redirects off."
    ]
  }
}
