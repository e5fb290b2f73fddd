/**
 * Runs real clients against the registry: skopeo, containerd, docker, podman and buildah from Debian's packages, and crane,
 * oras, regctl, helm and cosign, built from Go modules. They push to and pull from two replicas of the binary, and each
 * request is sent to another replica than the request before. Behind them are PostgreSQL 15 and a real S3 server, with
 * sweeps without a pause. At last all but one image is deleted, and nothing else may be left.
 *
 *   npm run test:clients                      all but cosign, whose build takes minutes
 *   npm run test:clients -- --all             cosign, too
 *   npm run test:clients -- --only=oras,helm  these clients alone, without the checks of the whole
 *   npm run test:clients -- --store=minio     radosgw (default), minio or versitygw
 *   npm run test:clients -- --log             also prints what the replicas logged
 *
 * Exit codes: 0 when every check that could be made passed; 1 when any did not; 2 for a wrong command line; 3
 * when this machine lacks something, which the message names. A client that cannot be built fails its checks by name.
 * containerd, docker and podman need root, and without it are skipped by name. ARTIFACT_GC_TEST_TALLY names a file to which
 * "clients passed failed skipped" is appended.
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
import * as Cosign from "./clients/Cosign.ts"
import * as Crane from "./clients/Crane.ts"
import * as Docker from "./clients/Docker.ts"
import { startGuarded } from "./clients/Guarded.ts"
import * as Helm from "./clients/Helm.ts"
import * as Oras from "./clients/Oras.ts"
import * as Podman from "./clients/Podman.ts"
import { type Built, build, type ProgramName } from "./clients/Programs.ts"
import * as Regctl from "./clients/Regctl.ts"
import { startRegistry } from "./clients/Registry.ts"
import { type Check, Report, type Suite } from "./clients/Report.ts"
import * as Skopeo from "./clients/Skopeo.ts"
import { openStored } from "./clients/Stored.ts"
import { findTools, install, installPodman } from "./clients/Tools.ts"

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

type SuiteOf = (context: Context) => Suite

interface Client {
  readonly suite: SuiteOf
  /** What must still hold after many sweeps. */
  readonly lasting?: (context: Context) => ReadonlyArray<Check>
  readonly program?: ProgramName
}

const clients: Readonly<Record<string, Client>> = {
  containerd: Containerd,
  docker: Docker,
  podman: Podman,
  crane: { ...Crane, program: "crane" },
  oras: { ...Oras, program: "oras" },
  regctl: { ...Regctl, program: "regctl" },
  helm: { ...Helm, program: "helm" },
  cosign: { ...Cosign, program: "cosign" }
}

/** Its build takes longer than the rest of the run, where it is not cached. */
const slowToBuild = "cosign"

interface Options {
  /** Clients beside skopeo. */
  readonly names: ReadonlyArray<string>
  /** Whether the checks of the whole are made, too. */
  readonly isWhole: boolean
  readonly isLogWanted: boolean
}

const suitesOf = ({ isWhole, names }: Options, images: Skopeo.Images): ReadonlyArray<SuiteOf> => {
  const chosen = names.flatMap((name) => clients[name] ?? [])
  const suites = chosen.map(({ suite }) => suite)
  // Some of the others pull what skopeo pushed.
  if (!isWhole) return [Skopeo.suite(images), ...suites]
  const lasting: SuiteOf = (context) => ({
    checks: chosen.flatMap((client) => client.lasting?.(context) ?? [])
  })
  return [Skopeo.suite(images), Access.suite, ...suites, Churn.suite, lasting, Collection.suite, healthy]
}

const runAll = async (
  group: Group,
  report: Report,
  built: ReadonlyMap<ProgramName, Built>,
  options: Options
): Promise<void> => {
  const found = await Servers.up({ group })
  const folder = join(group.folder, "clients")
  mkdirSync(folder)
  const tools = findTools(Servers.cacheFolder(), folder, built)
  const registry = await startRegistry(group, found)
  const guarded = await startGuarded(group, found, tools, folder)
  const stored = openStored(found)
  const images = Skopeo.makeImages()
  const context: Context = {
    group,
    folder,
    tools,
    registry,
    stored,
    guarded,
    kept: { repository: "skopeo/kept", tag: "last", image: images.kept },
    repositories: new Set()
  }
  try {
    for (const suite of suitesOf(options, images)) await report.suite(suite(context))
    if (report.failed > 0) process.stdout.write(`\nThe end of the replicas' logs:\n${registry.log()}\n`)
    if (options.isLogWanted)
      for (const file of registry.logFiles) process.stdout.write(readFileSync(file, "utf8"))
  } finally {
    await stored.close()
    await guarded.stop()
    await registry.stop()
  }
}

const usage = "usage: npm run test:clients [-- --all | --only=CLIENT,…] [--store=STORE] [--log]"

/** Returns the options. Sets the store. */
const parse = (args: ReadonlyArray<string>): Options => {
  const valueOf = (name: string) => args.find((arg) => arg.startsWith(name))?.slice(name.length)
  const store = valueOf("--store=")
  if (store !== undefined) process.env.ARTIFACT_GC_REAL_S3 = store
  const only = valueOf("--only=")?.split(",")
  const unknown =
    args.find((arg) => !/^(--log|--all|--only=.*|--store=.*)$/.test(arg)) ??
    only?.find((name) => !Object.hasOwn(clients, name))
  if (unknown !== undefined) throw new Usage(`${unknown}: unknown. ${usage}`)
  const quick = Object.keys(clients).filter((name) => name !== slowToBuild || args.includes("--all"))
  return { names: only ?? quick, isWhole: only === undefined, isLogWanted: args.includes("--log") }
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const options = parse(args)
  const cache = Servers.cacheFolder()
  await Servers.install()
  await install(cache)
  await installPodman(cache)
  const programs = options.names.flatMap((name) => clients[name]?.program ?? [])
  const built = await build(cache, [...programs, "token-server"])
  const group = new Group()
  onEndingSignal(() => void group.stop().finally(() => process.exit(1)))
  const report = new Report()
  try {
    await runAll(group, report, built, options)
  } finally {
    await group.stop()
  }
  const { passed, failed, skipped } = report
  tally("clients", report)
  process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`)
  return failed === 0 && passed > 0 ? 0 : 1
}

runProgram(main)
