/**
 * How fast is a push to the registry, beside the SDK alone uploading the same bytes to the same store? How much memory does
 * a replica take for it, and how often does a byte pass through it?
 *
 * The replica is the binary in a process of its own, without its collector; the client is this process. What is
 * pushed is pulled again and compared.
 */
import { measure } from "./harness/Contender.ts"
import { type Answer, type Bench, type Figure, insist, type Question } from "./harness/Question.ts"
import { digestOf } from "./upload/Body.ts"
import { pull, push } from "./upload/Client.ts"
import * as Meter from "./upload/Meter.ts"
import * as Replica from "./upload/Replica.ts"
import type { SdkTask } from "./upload/Sdk.ts"

const mebibyte = 1024 * 1024

/** Chunks of a push that docker does not make, but others do. */
const severalChunks = 8

/** One body's three parts in memory and Node itself; what is to be had for sixteen bodies is in docs/operations.md. */
const rssMegabytesMax = 250

export const question: Question = {
  name: "upload",
  asks: "a push to the registry, beside the SDK alone uploading the same bytes",
  options: {
    mebibytes: { about: "size of the blob, default 1024" },
    runs: {
      about: "runs of each contender, default 1; the S3 server that the bench starts has memory for two"
    }
  },
  ask: async (bench) => {
    const sizeBytes = (bench.given.mebibytes ?? 1024) * mebibyte
    const runs = bench.given.runs ?? 1
    insist(runs > 0, "no runs measure nothing")
    insist(sizeBytes > 0 && sizeBytes % (severalChunks * mebibyte) === 0, "--mebibytes is a multiple of 8")
    const digest = digestOf(sizeBytes)
    const rounds: Array<Round> = []
    for (let run = 1; run <= runs; run++) rounds.push(await round(bench, run, digest, sizeBytes))
    return answer({ mebibytes: sizeBytes / mebibyte, runs }, rounds)
  }
}

interface Pushed {
  readonly millis: number
  readonly peakBytes: number
  /** Bytes to and from the store, without those to and from the client. */
  readonly moved: number
}

interface Round {
  readonly floorMillis: number
  readonly one: Pushed
  readonly several: Pushed
}

const round = async (bench: Bench, run: number, digest: string, sizeBytes: number): Promise<Round> => {
  const { servers, log, nodeOptions } = bench
  const task: SdkTask = { s3: servers.s3, key: `artifact-gc-bench/upload-${run}`, sizeBytes }
  const floor = await measure<number>(new URL("./upload/Sdk.js", import.meta.url), task, nodeOptions)
  log(`run ${run}: the SDK alone took ${(floor.millis / 1000).toFixed(1)} s`)
  const one = await pushed(bench, digest, sizeBytes, 1)
  log(`run ${run}: a push in one chunk took ${(one.millis / 1000).toFixed(1)} s`)
  const several = await pushed(bench, digest, sizeBytes, severalChunks)
  log(`run ${run}: a push in ${severalChunks} chunks took ${(several.millis / 1000).toFixed(1)} s`)
  return { floorMillis: floor.millis, one, several }
}

/** Through a metered wire, whose cost both the push and its rival on the same machine bear. */
const pushed = async (
  { servers }: Bench,
  digest: string,
  sizeBytes: number,
  chunks: number
): Promise<Pushed> => {
  const meter = await Meter.start(servers.s3.endpoint)
  const databaseUrl = await Replica.freshDatabase(servers)
  const replica = await Replica.start(databaseUrl, { ...servers.s3, endpoint: meter.url })
  try {
    const before = meter.sent() + meter.received()
    const began = performance.now()
    await push(replica.url, digest, sizeBytes, chunks)
    const millis = performance.now() - began
    const moved = meter.sent() + meter.received() - before
    const peakBytes = replica.peakBytes()
    await pull(replica.url, digest)
    return { millis, moved, peakBytes }
  } finally {
    await replica.stop()
    meter.close()
  }
}

const answer = (
  parameters: { readonly mebibytes: number; readonly runs: number },
  rounds: ReadonlyArray<Round>
): Answer => {
  const sizeBytes = parameters.mebibytes * mebibyte
  const rate = (millis: number) => (parameters.mebibytes * 1000) / millis
  const floor = rounds.map(({ floorMillis }) => rate(floorMillis))
  const of = (value: (round: Round) => number) => rounds.map(value)
  // Each byte comes from the client once, whatever becomes of it then.
  const passes = ({ moved }: Pushed) => 1 + moved / sizeBytes
  const figures: ReadonlyArray<Figure> = [
    {
      name: "push in one chunk, as docker",
      unit: "MiB/s",
      measured: of(({ one }) => rate(one.millis)),
      floor
    },
    {
      name: `push in ${severalChunks} chunks`,
      unit: "MiB/s",
      measured: of(({ several }) => rate(several.millis)),
      floor
    },
    {
      name: "peak RSS of the replica, one chunk",
      unit: "MB",
      measured: of(({ one }) => one.peakBytes / 1e6),
      limit: rssMegabytesMax
    },
    {
      name: `peak RSS of the replica, ${severalChunks} chunks`,
      unit: "MB",
      measured: of(({ several }) => several.peakBytes / 1e6),
      limit: rssMegabytesMax
    },
    {
      name: "bytes through the replica a byte, one chunk",
      unit: "",
      measured: of(({ one }) => passes(one)),
      limit: 2.1
    },
    {
      name: `bytes through the replica a byte, ${severalChunks} chunks`,
      unit: "",
      measured: of(({ several }) => passes(several)),
      limit: 4.1
    }
  ]
  return {
    parameters,
    figures,
    verified: ["Every blob that was pushed was pulled again and had the digest of what was sent."]
  }
}
