#!/usr/bin/env node
/**
 * Real clients against the registry: skopeo, containerd and docker, from Debian's packages, push to and pull from two
 * replicas of the binary, of which every request goes to the other; PostgreSQL 15 and a real S3 server behind them, and
 * sweeps without a pause. In the end all but one image is deleted, and nothing else may be left.
 *
 *   npm run test:clients            two to three minutes
 *   npm run test:clients -- --log   also what the replicas logged
 *
 * Exit codes: 0 when every check that could be made passed; 1 when any did not; 2 for a wrong command line; 3 when this
 * machine lacks something, the message says what. containerd and docker need root, and are skipped by name without it.
 * ARTIFACT_GC_TEST_TALLY names a file to which "clients passed failed skipped" is appended.
 */
import assert from "node:assert/strict"
import { appendFileSync, mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as churn from "./clients/churn.mjs"
import * as collection from "./clients/collection.mjs"
import * as containerd from "./clients/containerd.mjs"
import * as docker from "./clients/docker.mjs"
import { lookBehind } from "./clients/kept.mjs"
import { startRegistry } from "./clients/registry.mjs"
import { Report } from "./clients/report.mjs"
import * as skopeo from "./clients/skopeo.mjs"
import { findTools, install } from "./clients/tools.mjs"
import { Group } from "./servers/processes.mjs"
import * as servers from "./servers.mjs"

/** What must hold when all is done, whatever the clients did. */
const healthy = ({ registry }) => ({
  checks: [
    [
      "both replicas had their share of the requests, and live",
      () => {
        const counts = registry.balancer.counts()
        assert.ok(registry.alive(), registry.log())
        assert.ok(Math.min(...counts) > 100, `requests: ${counts.join(" and ")}`)
        const { moved, stayed } = registry.balancer.moves()
        assert.ok(moved > 500 && stayed === 0, `requests of sessions: ${moved} moved, ${stayed} stayed`)
        return `${counts.join(" and ")} requests; ${moved} times a session went to its other replica, never to the same`
      }
    ]
  ]
})

const runAll = async (group, report, wantsLog) => {
  const found = await servers.up({ group })
  const folder = join(group.folder, "clients")
  mkdirSync(folder)
  const tools = findTools(servers.cacheFolder(), folder)
  const registry = await startRegistry(group, found)
  const behind = lookBehind(found)
  const context = { group, folder, tools, registry, behind, repositories: new Set() }
  try {
    for (const { suite } of [skopeo, containerd, docker, churn, collection])
      await report.suite(suite(context))
    await report.suite(healthy(context))
    if (report.failed > 0) process.stdout.write(`\nThe replicas' last words:\n${registry.log()}\n`)
    if (wantsLog) for (const file of registry.logFiles) process.stdout.write(readFileSync(file, "utf8"))
  } finally {
    await behind.close()
    await registry.stop()
  }
}

const main = async (argv) => {
  const unknown = argv.find((argument) => argument !== "--log")
  if (unknown !== undefined) {
    process.stderr.write(`${unknown}: unknown. usage: npm run test:clients [-- --log]\n`)
    return 2
  }
  await servers.install()
  await install(servers.cacheFolder())
  const group = new Group()
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => group.stop().finally(() => process.exit(1)))
  }
  const report = new Report()
  try {
    await runAll(group, report, argv.includes("--log"))
  } finally {
    await group.stop()
  }
  const { passed, failed, skipped } = report
  if (process.env.ARTIFACT_GC_TEST_TALLY) {
    appendFileSync(process.env.ARTIFACT_GC_TEST_TALLY, `clients ${passed} ${failed} ${skipped}\n`)
  }
  process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`)
  return failed === 0 && passed > 0 ? 0 : 1
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    const isMissing = error instanceof servers.Missing
    process.stderr.write(`${isMissing ? error.message : error.stack}\n`)
    process.exit(isMissing ? 3 : 1)
  }
)
