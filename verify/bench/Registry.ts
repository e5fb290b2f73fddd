/**
 * What do pulls and pushes cost the serving process, beside a bare `node:http` server that does the same with the SDK?
 *
 * Registry and floor alternate in every run, on the same store and with the same client, so that a busy machine disturbs both.
 */
import type { ChildProcess } from "node:child_process"
import { createHash } from "node:crypto"
import { type Answer, type Bench, ensure, type Figure, type Question } from "./harness/Question.ts"
import { ask, drain, expected, repeat } from "./registry/Client.ts"
import * as Processes from "./registry/Processes.ts"
import { digestOf, pieces } from "./upload/Body.ts"
import * as Meter from "./upload/Meter.ts"
import * as Replica from "./upload/Replica.ts"

const mebibyte = 1024 * 1024

const severalChunks = 8

/** The question. */
export const question: Question = {
  name: "registry",
  asks: "pulls and pushes of the registry, beside a bare http server that uses the SDK",
  options: {
    mebibytes: { about: "size of the large blob, default 256" },
    runs: { about: "runs of each figure, default 3" },
    small: { about: "requests of each figure about small blobs, default 400" },
    chunks: { about: "tiny chunks of one push, default 200" }
  },
  ask: async (bench) => {
    const mebibytes = bench.given.mebibytes ?? 256
    const parameters = {
      mebibytes,
      runs: bench.given.runs ?? 3,
      small: bench.given.small ?? 400,
      chunks: bench.given.chunks ?? 200
    }
    ensure(mebibytes > 0 && mebibytes % severalChunks === 0, "--mebibytes must be a multiple of 8")
    const meter = await Meter.start(bench.servers.s3.endpoint)
    const databaseUrl = await Replica.freshDatabase(bench.servers)
    const replica = await Replica.start(
      databaseUrl,
      { ...bench.servers.s3, endpoint: meter.url },
      bench.nodeOptions
    )
    // Through the meter too, whose cost is then part of both.
    const floor = await Processes.startFloor({ ...bench.servers.s3, endpoint: meter.url })
    try {
      const rounds: Array<Round> = []
      for (let run = 1; run <= parameters.runs; run++) {
        rounds.push(await round({ bench, run, parameters, replica, floor, meter }))
      }
      return answer(parameters, rounds)
    } finally {
      floor.child.kill()
      await replica.stop()
      meter.close()
    }
  }
}

type Parameters = Readonly<Record<"mebibytes" | "runs" | "small" | "chunks", number>>

interface Setting {
  readonly bench: Bench
  readonly run: number
  readonly parameters: Parameters
  readonly replica: Replica.Replica
  readonly floor: Awaited<ReturnType<typeof Processes.startFloor>>
  readonly meter: Meter.Meter
}

/** What a piece of work took in the serving process. */
interface Cost {
  readonly millis: number
  readonly cpuMillis: number
  readonly peakBytes: number
  /** Bytes to and from the store. */
  readonly moved: number
}

type Round = Readonly<
  Record<
    "pull" | "floorPull" | "push" | "floorPush" | "several" | "tiny" | "smallPulls" | "heads" | "smallPushes",
    Cost
  >
>

const costOf = async (
  { meter }: Setting,
  child: ChildProcess,
  work: () => Promise<unknown>
): Promise<Cost> => {
  Processes.forgetPeak(child)
  const bytes = meter.sent() + meter.received()
  const cpu = Processes.cpuMillis(child)
  const began = performance.now()
  await work()
  return {
    millis: performance.now() - began,
    cpuMillis: Processes.cpuMillis(child) - cpu,
    peakBytes: Processes.peakBytes(child),
    moved: meter.sent() + meter.received() - bytes
  }
}

const repository = "bench/bytes"

const round = async (setting: Setting): Promise<Round> => {
  const { bench, floor, parameters, replica, run } = setting
  const sizeBytes = parameters.mebibytes * mebibyte
  // Each run has bytes of its own, because a blob that exists is still received but a store may share its bytes.
  const body = { start: run * 2 ** 32, sizeBytes }
  const digest = digestOf(sizeBytes, body.start)
  const blob = new URL(`/v2/${repository}/blobs/${digest}`, replica.url)
  const key = new URL(`/artifact-gc-bench/registry-${run}`, floor.url)
  const push = await costOf(setting, replica.child, () => pushed(replica.url, digest, body, 1))
  const floorPush = await costOf(setting, floor.child, () => put(key, body))
  const pull = await costOf(setting, replica.child, () => whole(blob, sizeBytes))
  const floorPull = await costOf(setting, floor.child, () => whole(key, sizeBytes))
  const other = { start: (run + 0.5) * 2 ** 32, sizeBytes }
  const otherDigest = digestOf(sizeBytes, other.start)
  const several = await costOf(setting, replica.child, () =>
    pushed(replica.url, otherDigest, other, severalChunks)
  )
  await verified(new URL(`/v2/${repository}/blobs/${otherDigest}`, replica.url), otherDigest)
  const tiny = await tinyChunks(setting)
  const small = await smallBlobs(setting)
  bench.log(
    `run ${run}: pull ${perMebibyte(pull)} beside ${perMebibyte(floorPull)} ms of CPU a MiB, push ${perMebibyte(push)} beside ${perMebibyte(floorPush)}`
  )
  return { pull, floorPull, push, floorPush, several, tiny, ...small }

  function perMebibyte({ cpuMillis }: Cost) {
    return (cpuMillis / parameters.mebibytes).toFixed(2)
  }
}

interface Body {
  readonly start: number
  readonly sizeBytes: number
}

const whole = async (url: URL, sizeBytes: number) =>
  ensure((await drain(url)) === sizeBytes, "a pull has not the length of the blob")

const put = async (url: URL, { sizeBytes, start }: Body) =>
  expected(
    await ask(url, "PUT", { "content-length": String(sizeBytes) }, pieces(start, sizeBytes)),
    201,
    "PUT"
  )

const begun = async (base: string): Promise<URL> =>
  new URL(
    expected(
      await ask(new URL(`/v2/${repository}/blobs/uploads/`, base), "POST", { "content-length": "0" }),
      202,
      "POST"
    ).headers.location ?? "",
    base
  )

const closed = async (location: URL, digest: string) => {
  location.searchParams.set("digest", digest)
  expected(await ask(location, "PUT", { "content-length": "0" }), 201, "PUT")
}

const patched = async (location: URL, body: Iterable<Buffer>): Promise<URL> => {
  const answer = expected(
    await ask(location, "PATCH", { "transfer-encoding": "chunked" }, body),
    202,
    "PATCH"
  )
  return new URL(answer.headers.location ?? "", location)
}

const pushed = async (base: string, digest: string, { sizeBytes, start }: Body, chunks: number) => {
  let location = await begun(base)
  const chunkBytes = sizeBytes / chunks
  for (let chunk = 0; chunk < chunks; chunk++) {
    location = await patched(location, pieces(start + chunk * chunkBytes, chunkBytes))
  }
  await closed(location, digest)
}

/** Measures the closing request alone. */
const tinyChunks = async (setting: Setting): Promise<Cost> => {
  const { parameters, replica, run } = setting
  const bytes = Array.from({ length: parameters.chunks }, (_, index) =>
    Buffer.alloc(10_000, `${run} ${index}`)
  )
  let location = await begun(replica.url)
  for (const chunk of bytes) location = await patched(location, [chunk])
  const digest = sha256(bytes)
  const cost = await costOf(setting, replica.child, () => closed(location, digest))
  await verified(new URL(`/v2/${repository}/blobs/${digest}`, replica.url), digest)
  return cost
}

const smallBlobs = async (setting: Setting) => {
  const { parameters, replica, run } = setting
  const times = parameters.small
  const bodies = Array.from({ length: times }, (_, index) => Buffer.alloc(2_000, `${run} small ${index}`))
  const digests = bodies.map((body) => sha256([body]))
  const at = (index: number) => new URL(`/v2/${repository}/blobs/${digests[index]}`, replica.url)
  const together = 4
  const smallPushes = await costOf(setting, replica.child, () =>
    repeat(times, together, async (index) => {
      const location = await patched(await begun(replica.url), [bodies[index] ?? Buffer.alloc(0)])
      await closed(location, digests[index] ?? "")
    })
  )
  const smallPulls = await costOf(setting, replica.child, () =>
    repeat(times, together, async (index) => expected(await ask(at(index), "GET"), 200, "GET"))
  )
  const heads = await costOf(setting, replica.child, () =>
    repeat(times, together, async (index) => expected(await ask(at(index), "HEAD"), 200, "HEAD"))
  )
  return { smallPulls, heads, smallPushes }
}

const sha256 = (pieces: ReadonlyArray<Buffer>): string => {
  const hash = createHash("sha256")
  for (const piece of pieces) hash.update(piece)
  return `sha256:${hash.digest("hex")}`
}

const verified = async (url: URL, digest: string) => {
  const hash = createHash("sha256")
  const answer = await fetch(url)
  for await (const chunk of answer.body ?? []) hash.update(chunk)
  ensure(`sha256:${hash.digest("hex")}` === digest, "the pulled bytes differ from the pushed ones")
}

const answer = (parameters: Parameters, rounds: ReadonlyArray<Round>): Answer => {
  const { mebibytes } = parameters
  const of = (name: keyof Round, value: (cost: Cost) => number) => rounds.map((round) => value(round[name]))
  const rate = ({ millis }: Cost) => (mebibytes * 1000) / millis
  const cpu = ({ cpuMillis }: Cost) => Math.max(cpuMillis, 1) / mebibytes
  const megabytes = ({ peakBytes }: Cost) => peakBytes / 1e6
  const passes = ({ moved }: Cost) => 1 + moved / (mebibytes * mebibyte)
  const aSecond = ({ millis }: Cost) => (parameters.small * 1000) / millis
  const each = ({ cpuMillis }: Cost) => Math.max(cpuMillis, 1) / parameters.small
  const beside = (
    name: string,
    unit: string,
    ours: keyof Round,
    floor: keyof Round,
    value: (cost: Cost) => number
  ): Figure => ({
    name,
    unit,
    measured: of(ours, value),
    floor: of(floor, value)
  })
  const alone = (name: string, unit: string, ours: keyof Round, value: (cost: Cost) => number): Figure => ({
    name,
    unit,
    measured: of(ours, value)
  })
  return {
    parameters,
    figures: [
      beside("pull", "MiB/s", "pull", "floorPull", rate),
      beside("pull, CPU a MiB", "ms", "pull", "floorPull", cpu),
      beside("pull, peak RSS", "MB", "pull", "floorPull", megabytes),
      beside("push in one chunk", "MiB/s", "push", "floorPush", rate),
      beside("push in one chunk, CPU a MiB", "ms", "push", "floorPush", cpu),
      beside("push in one chunk, peak RSS", "MB", "push", "floorPush", megabytes),
      beside(`push in ${severalChunks} chunks`, "MiB/s", "several", "push", rate),
      beside(`push in ${severalChunks} chunks, CPU a MiB`, "ms", "several", "push", cpu),
      alone(`bytes moved a byte, ${severalChunks} chunks`, "", "several", passes),
      alone(`closing a push of ${parameters.chunks} tiny chunks`, "s", "tiny", ({ millis }) => millis / 1000),
      alone("pulls of 2 kB", "a second", "smallPulls", aSecond),
      alone("pulls of 2 kB, CPU each", "ms", "smallPulls", each),
      alone("HEAD", "a second", "heads", aSecond),
      alone("HEAD, CPU each", "ms", "heads", each),
      alone("pushes of 2 kB", "a second", "smallPushes", aSecond),
      alone("pushes of 2 kB, CPU each", "ms", "smallPushes", each)
    ],
    verified: [
      "Every blob of several chunks was pulled again and had the digest of the bytes that were sent."
    ]
  }
}
