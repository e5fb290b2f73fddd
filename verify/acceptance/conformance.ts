/**
 * Runs the official conformance suite of the OCI distribution specification
 * (opencontainers/distribution-spec) against the registry: as its binary, on PostgreSQL 15 and a real S3
 * server. It runs once against one replica, and once against two, where each request is sent to another
 * replica than the request before.
 *
 *   npm run conformance
 *
 * Exit codes: 0 when everything that was asked for passed; 1 when anything did not; 3 when this machine lacks
 * something, which the message names. ARTIFACT_GC_TEST_TALLY names a file to which "conformance passed failed
 * skipped" is appended.
 */
import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { messageOf, runProgram, tally } from "../../tools/Program.ts"
import { startBalancer } from "../../tools/servers/Balancer.ts"
import { program } from "../../tools/servers/Golang.ts"
import { Group } from "../../tools/servers/Processes.ts"
import { cacheFolder, type Found, up } from "../../tools/servers/Servers.ts"
import { migrate, startPair, startReplica } from "./Replicas.ts"

const suite = program({
  name: "conformance",
  module: "github.com/opencontainers/distribution-spec/conformance",
  version: "v0.0.0-20260831232431-97274622c111"
})

/** Everything that the suite can be asked for, except what is {@link declined}. */
const asked = {
  OCI_TLS: "disabled",
  OCI_VERSION: "1.1",
  OCI_REPO1: "conformance/one",
  OCI_REPO2: "conformance/two",
  OCI_API_BLOBS_DIGEST_HEADER: "true",
  OCI_API_BLOBS_UPLOAD_CANCEL: "true",
  OCI_API_MANIFESTS_DIGEST_HEADER: "true",
  OCI_API_MANIFESTS_TAG_PARAM: "true"
}

/** What may be disabled, and why. */
const declined: Readonly<Record<string, string>> = {
  "Sparse Manifests":
    "a manifest whose blobs are missing is refused: " +
    "what it refers to could be collected at any moment, and a pull would fail"
}

/** Returns the verdicts by name (`Pass`, `Fail`, `Skip`, `Disabled`, …) from the result file's two lists. */
const readVerdicts = (yaml: string): ReadonlyMap<string, string> => {
  const verdicts = new Map<string, string>()
  let section = ""
  for (const line of yaml.split("\n")) {
    if (/^\S.*:$/.test(line)) section = line
    const [, name, verdict] = /^ {2}(.+): (\w+)$/.exec(line) ?? []
    if (name !== undefined && verdict !== undefined && (section === "apis:" || section === "data:"))
      verdicts.set(name, verdict)
  }
  return verdicts
}

/** The fewest verdicts and tests of a suite that ran: after a wrong configuration its exit code is 0. */
const verdictsMin = 50
const testsMin = 700

interface Result {
  readonly passed: number
  readonly failures: ReadonlyArray<string>
  /** The names of what was not asked for. */
  readonly skipped: ReadonlyArray<string>
}

const judge = (folder: string): Result => {
  const verdicts = readVerdicts(readFileSync(join(folder, "results.yaml"), "utf8"))
  const junit = readFileSync(join(folder, "junit.xml"), "utf8")
  const statuses = [...junit.matchAll(/<testcase [^>]*status="(\w+)"/g)].map(([, status]) => status)
  const passed = statuses.filter((status) => status === "passed").length
  const failures = [...verdicts]
    .filter(([name, verdict]) => verdict !== "Pass" && !(verdict === "Disabled" && name in declined))
    .map(([name, verdict]) => `${name}: ${verdict}`)
  if (verdicts.size < verdictsMin) failures.push(`only ${verdicts.size} verdicts; the suite did not run`)
  if (statuses.length < testsMin) failures.push(`only ${statuses.length} tests; the suite did not run`)
  const left = statuses.length - passed
  if (left > 0) failures.push(`${left} of ${statuses.length} tests did not pass`)
  const skipped = [...verdicts].filter(([, verdict]) => verdict === "Disabled").map(([name]) => name)
  return { passed, failures, skipped }
}

const runSuite = async (group: Group, name: string, url: string): Promise<Result> => {
  const folder = join(group.folder, name)
  mkdirSync(folder)
  await group
    .run(suite.binary(cacheFolder()), [], {
      cwd: folder,
      env: { PATH: process.env.PATH, ...asked, OCI_REGISTRY: new URL(url).host, OCI_RESULTS_DIR: folder }
    })
    // The result files say better what failed.
    .catch((error: unknown) => process.stdout.write(`${messageOf(error).slice(-2000)}\n`))
  return judge(folder)
}

const onOne = async (group: Group, servers: Found): Promise<Result> => {
  const replica = await startReplica(group, servers, "replica")
  try {
    return await runSuite(group, "one-replica", replica.url)
  } finally {
    await replica.daemon.stop()
  }
}

const onTwo = async (group: Group, servers: Found): Promise<Result> => {
  const replicas = await startPair(group, servers)
  const balancer = await startBalancer({ targets: replicas.map(({ url }) => url) })
  try {
    const result = await runSuite(group, "two-replicas", balancer.url)
    const [first = 0, second = 0] = balancer.counts()
    process.stdout.write(`${first} requests were sent to one replica, ${second} to the other\n`)
    const { moved, stayed } = balancer.moves()
    const isAlternating = Math.min(first, second) >= 300 && moved >= 100 && stayed === 0
    return isAlternating
      ? result
      : {
          ...result,
          failures: [...result.failures, `the balancer did not alternate: ${moved} moves, ${stayed} stays`]
        }
  } finally {
    await balancer.close()
    await Promise.all(replicas.map(({ daemon }) => daemon.stop()))
  }
}

const runs = [
  { title: "one replica", run: onOne },
  { title: "two replicas, each request to another than the one before", run: onTwo }
]

const main = async (): Promise<number> => {
  await suite.install(cacheFolder())
  const totals = { passed: 0, failed: 0, skipped: 0 }
  for (const { title, run } of runs) {
    const group = new Group()
    try {
      const servers = await up({ group })
      await migrate(group, servers)
      const { passed, failures, skipped } = await run(group, servers)
      process.stdout.write(`${title}: ${passed} tests passed, ${failures.length} failures\n`)
      for (const failure of failures) process.stdout.write(`  FAILED ${failure}\n`)
      for (const name of skipped)
        process.stdout.write(`  not asked for: ${name}, because ${declined[name]}\n`)
      totals.passed += passed
      totals.failed += failures.length
      totals.skipped += skipped.length
    } finally {
      await group.stop()
    }
  }
  tally("conformance", totals)
  process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed\n`)
  return totals.failed === 0 && totals.passed > 0 ? 0 : 1
}

runProgram(main)
