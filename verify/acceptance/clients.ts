/**
 * Runs real clients against the registry: skopeo, containerd and docker, from Debian's packages. They push to
 * and pull from two replicas of the binary, and each request is sent to another replica than the request
 * before. Behind them are PostgreSQL 15 and a real S3 server, with sweeps without a pause. At last all but
 * one image is deleted, and nothing else may be left.
 *
 *   npm run test:clients            two to three minutes
 *   npm run test:clients -- --log   also prints what the replicas logged
 *
 * Exit codes: 0 when every check that could be made passed; 1 when any did not; 2 for a wrong command line; 3
 * when this machine lacks something, which the message names. containerd and docker need root, and without it
 * are skipped by name. ARTIFACT_GC_TEST_TALLY names a file to which "clients passed failed skipped" is
 * appended.
 */
import assert from "node:assert/strict"
import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { onEndingSignal, runProgram, tally, Usage } from "../../tools/Program.ts"
import { Group } from "../../tools/servers/Processes.ts"
import * as Servers from "../../tools/servers/Servers.ts"
import * as Access from "./clients/Access.ts"
import * as Churn from "./clients/Churn.ts"
import * as Collection from "./clients/Collection.ts"
import * as Containerd from "./clients/Containerd.ts"
import type { Context } from "./clients/Context.ts"
import * as Docker from "./clients/Docker.ts"
import { startRegistry } from "./clients/Registry.ts"
import { Report, type Suite } from "./clients/Report.ts"
import * as Skopeo from "./clients/Skopeo.ts"
import { openStored } from "./clients/Stored.ts"
import { findTools, install } from "./clients/Tools.ts"

/** What must hold after the last client, whatever the clients did. */
const healthy = ({ registry }: Context): Suite => ({
  checks: [
    {
      name: "both replicas had their share of the requests, and live",
      run: async () => {
        const counts = registry.balancer.counts()
        assert.ok(registry.alive(), registry.log())
        assert.ok(Math.min(...counts) > 100, `requests: ${counts.join(" and ")}`)
        const { moved, stayed } = registry.balancer.moves()
        assert.ok(moved > 200 && stayed === 0, `requests of sessions: ${moved} moved, ${stayed} stayed`)
        const all = counts.join(" and ")
        return `${all} requests; ${moved} times a session's next request had its other replica, never the same`
      }
    }
  ]
})

const runAll = async (group: Group, report: Report, isLogWanted: boolean): Promise<void> => {
  const found = await Servers.up({ group })
  const folder = join(group.folder, "clients")
  mkdirSync(folder)
  const tools = findTools(Servers.cacheFolder(), folder)
  const registry = await startRegistry(group, found)
  const guarded = await Access.startGuarded(group, found, folder)
  const stored = openStored(found)
  const images = Skopeo.makeImages()
  const kept = { repository: "skopeo/kept", tag: "last", image: images.kept }
  const context: Context = {
    group,
    folder,
    tools,
    registry,
    stored,
    kept,
    guarded: guarded.url,
    repositories: new Set()
  }
  const suites = [
    Skopeo.suite(images),
    Access.suite,
    Containerd.suite,
    Docker.suite,
    Churn.suite,
    Collection.suite,
    healthy
  ]
  try {
    for (const suite of suites) await report.suite(suite(context))
    if (report.failed > 0) process.stdout.write(`\nThe end of the replicas' logs:\n${registry.log()}\n`)
    if (isLogWanted) for (const file of registry.logFiles) process.stdout.write(readFileSync(file, "utf8"))
  } finally {
    await stored.close()
    await guarded.daemon.stop()
    await registry.stop()
  }
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const unknown = args.find((argument) => argument !== "--log")
  if (unknown !== undefined) throw new Usage(`${unknown}: unknown. usage: npm run test:clients [-- --log]`)
  await Servers.install()
  await install(Servers.cacheFolder())
  const group = new Group()
  onEndingSignal(() => void group.stop().finally(() => process.exit(1)))
  const report = new Report()
  try {
    await runAll(group, report, args.includes("--log"))
  } finally {
    await group.stop()
  }
  const { passed, failed, skipped } = report
  tally("clients", report)
  process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`)
  return failed === 0 && passed > 0 ? 0 : 1
}

runProgram(main)
