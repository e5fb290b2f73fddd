#!/usr/bin/env node
/**
 * The official conformance suite of the OCI distribution specification (opencontainers/distribution-spec) against the
 * registry, as its binary on PostgreSQL 15 and a real S3 server: once against one replica, once against two of which every
 * request goes to the other.
 *
 *   npm run conformance
 *
 * Exit codes: 0 when everything that is asked passed; 1 when anything did not; 3 when this machine lacks something, the message
 * says what. ARTIFACT_GC_TEST_TALLY names a file to which "conformance passed failed skipped" is appended.
 */
import { appendFileSync, mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { migrate, startReplica } from "./registry/replicas.mjs"
import { startBalancer } from "./servers/balancer.mjs"
import { program } from "./servers/golang.mjs"
import { Group } from "./servers/processes.mjs"
import { cacheFolder, Missing, up } from "./servers.mjs"

const suite = program({
  name: "conformance",
  module: "github.com/opencontainers/distribution-spec/conformance",
  version: "v0.0.0-20260831232431-97274622c111"
})

/** Everything the suite can ask for, but what is `declined`. */
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
const declined = {
  "Sparse Manifests":
    "a manifest whose blobs are not there is refused: what it refers to could be collected at any moment, and a pull would fail"
}

/** The verdicts by name: `Pass`, `Fail`, `Skip`, `Disabled` and so on, from the result file's two lists. */
const readVerdicts = (yaml) => {
  const verdicts = new Map()
  let section = ""
  for (const line of yaml.split("\n")) {
    if (/^\S.*:$/.test(line)) section = line
    const [, name, verdict] = /^ {2}(.+): (\w+)$/.exec(line) ?? []
    if (name !== undefined && (section === "apis:" || section === "data:")) verdicts.set(name, verdict)
  }
  return verdicts
}

/** The fewest verdicts and tests that mean that the suite ran: it has exit code 0 after a wrong configuration. */
const verdictsMin = 50
const testsMin = 700

const judge = (folder) => {
  const verdicts = readVerdicts(readFileSync(join(folder, "results.yaml"), "utf8"))
  const statuses = [
    ...readFileSync(join(folder, "junit.xml"), "utf8").matchAll(/<testcase [^>]*status="(\w+)"/g)
  ]
  const passed = statuses.filter(([, status]) => status === "passed").length
  const failures = [...verdicts]
    .filter(([name, verdict]) => verdict !== "Pass" && !(verdict === "Disabled" && name in declined))
    .map(([name, verdict]) => `${name}: ${verdict}`)
  if (verdicts.size < verdictsMin) failures.push(`only ${verdicts.size} verdicts; the suite did not run`)
  if (statuses.length < testsMin) failures.push(`only ${statuses.length} tests; the suite did not run`)
  const left = statuses.length - passed
  if (left > 0) failures.push(`${left} of ${statuses.length} tests did not pass`)
  return { passed, failures, skipped: [...verdicts].filter(([, verdict]) => verdict === "Disabled") }
}

const runSuite = async (group, name, url) => {
  const folder = join(group.folder, name)
  mkdirSync(folder)
  await group
    .run(suite.binary(cacheFolder()), [], {
      cwd: folder,
      env: { PATH: process.env.PATH, ...asked, OCI_REGISTRY: new URL(url).host, OCI_RESULTS_DIR: folder }
    })
    // The result files say better what failed.
    .catch((error) => process.stdout.write(`${error.message.slice(-2000)}\n`))
  return judge(folder)
}

const onOne = async (group, servers) => {
  const replica = await startReplica(group, servers, "replica")
  try {
    return await runSuite(group, "one-replica", replica.url)
  } finally {
    await replica.stop()
  }
}

const onTwo = async (group, servers) => {
  const replicas = await Promise.all(["first", "second"].map((name) => startReplica(group, servers, name)))
  const balancer = await startBalancer({ targets: replicas.map(({ url }) => url) })
  try {
    const result = await runSuite(group, "two-replicas", balancer.url)
    const [first = 0, second = 0] = balancer.counts()
    process.stdout.write(`${first} requests went to one replica, ${second} to the other\n`)
    const { moved, stayed } = balancer.moves()
    if (Math.min(first, second) < 300 || moved < 100 || stayed > 0) {
      result.failures.push(`the balancer did not alternate: ${moved} moves, ${stayed} stays`)
    }
    return result
  } finally {
    await balancer.close()
    await Promise.all(replicas.map((replica) => replica.stop()))
  }
}

const main = async () => {
  await suite.install(cacheFolder())
  const totals = { passed: 0, failed: 0, skipped: 0 }
  for (const [title, run] of [
    ["one replica", onOne],
    ["two replicas, every request to the other one", onTwo]
  ]) {
    const group = new Group()
    try {
      const servers = await up({ group })
      await migrate(group, servers)
      const { passed, failures, skipped } = await run(group, servers)
      process.stdout.write(`${title}: ${passed} tests passed, ${failures.length} failures\n`)
      for (const failure of failures) process.stdout.write(`  FAILED ${failure}\n`)
      for (const [name] of skipped)
        process.stdout.write(`  not asked for: ${name}, because ${declined[name]}\n`)
      totals.passed += passed
      totals.failed += failures.length
      totals.skipped += skipped.length
    } finally {
      await group.stop()
    }
  }
  if (process.env.ARTIFACT_GC_TEST_TALLY) {
    const { passed, failed, skipped } = totals
    appendFileSync(process.env.ARTIFACT_GC_TEST_TALLY, `conformance ${passed} ${failed} ${skipped}\n`)
  }
  process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed\n`)
  return totals.failed === 0 && totals.passed > 0 ? 0 : 1
}

main().then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`${error instanceof Missing ? error.message : error.stack}\n`)
    process.exit(error instanceof Missing ? 3 : 1)
  }
)
