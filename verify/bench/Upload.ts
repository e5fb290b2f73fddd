/**
 * How fast is a push to the registry, beside the SDK alone uploading the same bytes to the same store? How
 * much memory does a replica take for it, and how often does a byte pass through it?
 *
 * The replica is the binary in its own process, without its collector. The client is this process. Each
 * pushed blob is pulled again and compared.
 */

import { type Answer, type Bench, ensure, type Figure, type Question } from "./harness/Question.ts"
import { measure } from "./harness/Variant.ts"
import { digestOf } from "./upload/Body.ts"
import { pull, push } from "./upload/Client.ts"
import * as Meter from "./upload/Meter.ts"
import * as Replica from "./upload/Replica.ts"
import type { SdkTask } from "./upload/Sdk.ts"

const mebibyte = 1024 * 1024

/** Number of chunks of a push in several chunks. docker sends one chunk, other clients send several. */
const severalChunks = 8

/** Node itself and three parts of one body. docs/operations.md has the memory for sixteen bodies. */
const rssMegabytesMax = 250

/** The question. */
export const question: Question = {
  name: "upload",
  asks: "a push to the registry, beside the SDK alone uploading the same bytes",
  options: {
    mebibytes: { about: "size of the blob, default 1024" },
    runs: {
      about: "runs of each variant, default 1; the S3 server that the bench starts has memory for two runs"
    }
  },
  ask: async (bench) => {
    const sizeBytes = (bench.given.mebibytes ?? 1024) * mebibyte
    const runs = bench.given.runs ?? 1
    ensure(runs > 0, "--runs must be above 0")
    ensure(
      sizeBytes > 0 && sizeBytes % (severalChunks * mebibyte) === 0,
      "--mebibytes must be a multiple of 8"
    )
    const digest = digestOf(sizeBytes)
    const rounds: Array<Round> = []
    for (let run = 1; run <= runs; run++) rounds.push(await round(bench, run, digest, sizeBytes))
    return answer({ mebibytes: sizeBytes / mebibyte, runs }, rounds)
  }
}

/** What one push took. */
interface PushMeasurement {
  readonly millis: number
  readonly peakBytes: number
  /** Bytes to and from the store. Bytes to and from the client are not included. */
  readonly moved: number
}

interface Round {
  readonly floorMillis: number
  readonly one: PushMeasurement
  readonly several: PushMeasurement
}

const round = async (bench: Bench, run: number, digest: string, sizeBytes: number): Promise<Round> => {
  const { servers, log, nodeOptions } = bench
  const task: SdkTask = { s3: servers.s3, key: `artifact-gc-bench/upload-${run}`, sizeBytes }
  const floor = await measure<number>(new URL("./upload/Sdk.js", import.meta.url), task, nodeOptions)
  log(`run ${run}: the SDK alone took ${(floor.millis / 1000).toFixed(1)} s`)
  const one = await measurePush(bench, digest, sizeBytes, 1)
  log(`run ${run}: a push in one chunk took ${(one.millis / 1000).toFixed(1)} s`)
  const several = await measurePush(bench, digest, sizeBytes, severalChunks)
  log(`run ${run}: a push in ${severalChunks} chunks took ${(several.millis / 1000).toFixed(1)} s`)
  return { floorMillis: floor.millis, one, several }
}

/** Measures a push through a meter. The meter and the floor run on the same machine as the push. */
const measurePush = async (
  { servers }: Bench,
  digest: string,
  sizeBytes: number,
  chunks: number
): Promise<PushMeasurement> => {
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
  // Each byte is received from the client once, and then moves to or from the store.
  const passes = ({ moved }: PushMeasurement) => 1 + moved / sizeBytes
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
      limit: 3.1
    }
  ]
  return {
    parameters,
    figures,
    verified: ["Every pushed blob was pulled again and had the digest of the bytes that were sent."]
  }
}
