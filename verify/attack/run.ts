/**
 * Attacks a registry while an honest client pushes and pulls, one attack after the other: slow bodies, manifests and readers,
 * lengths that cannot be meant, idle connections, floods and smuggled requests. `serve` runs as its binary on PostgreSQL 15 and
 * a real S3 server. Everything stays on the loopback address, with bounded connections and time.
 *
 *   npm run attack [-- --seconds=5] [--only=NAME,…] [--program=dist/main.js of another build]
 *
 * Passes if every honest request succeeds within three times the p99 without an attack, in the same run, and the memory stays
 * bounded. Another program shows what an attack does without a protection.
 *
 * Exit codes: 0 when every check passed; 1 when any did not; 2 for a wrong call; 3 when this machine lacks something.
 * ARTIFACT_GC_TEST_TALLY names a file to which "attack passed failed skipped" is appended.
 */
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { Worker } from "node:worker_threads"
import { onEndingSignal, runProgram, tally, Usage } from "../../tools/Program.ts"
import { Group } from "../../tools/servers/Processes.ts"
import * as Servers from "../../tools/servers/Servers.ts"
import { migrate, type Replica, startReplica } from "../acceptance/Replicas.ts"
import { attacks, type Victim } from "./Attacks.ts"
import { Honest, percentile, type Seen } from "./Honest.ts"

/** Attacks may make an honest request that many times slower. */
const slowerMax = 3

/** An attack begins with a burst of honest-looking requests, whose processor time is not what is measured. */
const beginMillis = 6000

/** Below this a difference is this machine's noise. */
const noiseMillis = 100

/** The most memory of the process, in MB: sixteen bodies of 48 MiB, and 256 MiB of overtaken ones, are documented. */
const memoryMaxMb = 1024

const settings = {
  SERVE_CONNECTIONS_MAX: "400",
  GC_INTERVAL: "1 minute",
  GC_JITTER: "0 seconds"
}

const call = (args: ReadonlyArray<string>) => {
  const options = {
    seconds: { type: "string", default: "5" },
    only: { type: "string" },
    program: { type: "string" }
  } as const
  const { values } = (() => {
    try {
      return parseArgs({ args: [...args], options, strict: true })
    } catch (error) {
      throw new Usage(String(error))
    }
  })()
  const seconds = Number(values.seconds)
  const names = values.only?.split(",") ?? Object.keys(attacks)
  const unknown = names.find((name) => !Object.hasOwn(attacks, name))
  if (!(seconds > 0 && seconds <= 600)) throw new Usage("--seconds must be from 1 to 600")
  if (unknown !== undefined)
    throw new Usage(`No attack is named ${unknown}: ${Object.keys(attacks).join(", ")}`)
  return { seconds, names, program: values.program }
}

/** Pushes what the attacks read and try to delete. */
const prepare = async ({ url }: Replica): Promise<Victim> => {
  const large = randomBytes(24 * 1024 * 1024)
  const digest = `sha256:${createHash("sha256").update(large).digest("hex")}`
  const pushed = await fetch(`${url}/v2/victim/blobs/uploads/?digest=${digest}`, {
    method: "POST",
    body: large
  })
  const mediaType = "application/vnd.oci.image.manifest.v1+json"
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: "application/octet-stream", digest, size: large.length },
    layers: []
  })
  const kept = await fetch(`${url}/v2/victim/manifests/kept`, {
    method: "PUT",
    headers: { "content-type": mediaType },
    body: manifest
  })
  if (pushed.status !== 201 || kept.status !== 201)
    throw new Error(`Not prepared: ${pushed.status}, ${kept.status}`)
  return { port: Number(new URL(url).port), large: digest }
}

const residentMb = (pid: number): number => {
  const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  return Number(kb ?? 0) / 1024
}

interface Row extends Seen {
  readonly name: string
  readonly peakMb: number
  readonly readiness: number
  readonly problems: ReadonlyArray<string>
}

/** Lets the honest client work during an attack, or without one. */
const measure = async (
  replica: Replica,
  victim: Victim,
  seconds: number,
  name: string | null
): Promise<Omit<Row, "name" | "problems"> & { readonly answers: ReadonlyArray<string> }> => {
  const worker =
    name === null
      ? null
      : new Worker(new URL("./AttackThread.js", import.meta.url), { workerData: { name, victim } })
  if (worker !== null) {
    await once(worker, "message")
    await new Promise((resolve) => setTimeout(resolve, beginMillis))
  }
  let peakMb = 0
  const sampling = setInterval(() => {
    peakMb = Math.max(peakMb, residentMb(replica.daemon.pid ?? 0))
  }, 100)
  const seen = await new Honest(replica.url).work(seconds)
  clearInterval(sampling)
  const readiness = await fetch(`${replica.url}/readyz`).then(
    ({ status }) => status,
    () => 0
  )
  const ended = worker === null ? [[]] : once(worker, "message")
  worker?.postMessage("end")
  const [answers] = (await ended) as [ReadonlyArray<string>]
  await worker?.terminate()
  return { ...seen, peakMb, readiness, answers }
}

const problemsOf = (
  row: Omit<Row, "name" | "problems"> & { readonly answers: ReadonlyArray<string> },
  limitMillis: number
): ReadonlyArray<string> => {
  const p99 = percentile(row.millis, 0.99)
  const defects = row.answers.filter((answer) => answer.startsWith("HTTP/1.1 500"))
  return [
    ...row.failures.slice(0, 3),
    ...(p99 > limitMillis
      ? [`p99 is ${p99.toFixed(0)} ms, more than ${limitMillis.toFixed(0)} (slowest: ${row.slowest})`]
      : []),
    ...(row.peakMb > memoryMaxMb ? [`memory is ${row.peakMb.toFixed(0)} MB, more than ${memoryMaxMb}`] : []),
    ...(row.readiness === 200 ? [] : [`readiness is ${row.readiness}`]),
    ...(defects.length > 0 ? [`an attack was answered with 500: ${defects[0]}`] : [])
  ]
}

const columns = (name: string, ...rest: ReadonlyArray<string>): string =>
  `${name.padEnd(24)}${rest.map((text) => text.padStart(9)).join("")}`

const print = ({ millis, name, peakMb, problems }: Row): void => {
  const shown = [0.5, 0.99, 1].map((share) => percentile(millis, share).toFixed(1))
  const line = columns(name, String(millis.length), ...shown, peakMb.toFixed(0))
  process.stdout.write(`${line}  ${problems.length === 0 ? "ok" : problems.join("; ")}\n`)
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const { names, program, seconds } = call(args)
  await Servers.install()
  const group = new Group()
  onEndingSignal(() => void group.stop().finally(() => process.exit(1)))
  let failed = 0
  try {
    const found = await Servers.up({ group })
    await migrate(group, found)
    const replica = await startReplica(group, found, "victim", {
      settings,
      ...(program === undefined ? {} : { program })
    })
    const victim = await prepare(replica)
    await measure(replica, victim, 2, null)
    const calm = await measure(replica, victim, Math.max(seconds, 5), null)
    const limitMillis = Math.max(slowerMax * percentile(calm.millis, 0.99), noiseMillis)
    process.stdout.write(`${columns("attack", "requests", "p50 ms", "p99 ms", "max ms", "MB")}\n`)
    print({ ...calm, name: "none", problems: [] })
    for (const name of names) {
      const row = await measure(replica, victim, seconds, name)
      const problems = [...problemsOf(row, limitMillis)]
      const kept = await fetch(`${replica.url}/v2/victim/manifests/kept`)
      if (kept.status !== 200) problems.push("a smuggled request deleted a manifest")
      if (problems.length > 0) failed += 1
      print({ ...row, name, problems })
    }
    if (failed > 0) process.stdout.write(`${replica.daemon.log()}\n`)
  } finally {
    await group.stop()
  }
  const passed = names.length - failed
  tally("attack", { passed, failed, skipped: 0 })
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`)
  return failed === 0 ? 0 : 1
}

runProgram(main)
