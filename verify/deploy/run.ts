/**
 * Checks the files of deploy/ by the tools of their users: promtool, helm, kubeconform, compose's own library, HAProxy,
 * systemd-analyze and docker.
 *
 *   npm run test:deploy                 two minutes; the first run builds the tools
 *   npm run test:deploy -- --static     without docker
 *   npm run test:deploy -- --compose    starts the compose file instead; the first run builds MinIO
 *
 * Exit codes: 0 when every check that could be made passed, 1 when any did not, 2 for a wrong command line, 3 when this
 * machine lacks something, which the message names. Without root the image is skipped by name. ARTIFACT_GC_TEST_TALLY names
 * a file to which "deploy passed failed skipped" is appended.
 */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { onEndingSignal, runProgram, tally, Usage } from "../../tools/Program.ts"
import { minioProgram } from "../../tools/servers/Golang.ts"
import * as Haproxy from "../../tools/servers/Haproxy.ts"
import { Group } from "../../tools/servers/Processes.ts"
import * as Prometheus from "../../tools/servers/Prometheus.ts"
import * as Servers from "../../tools/servers/Servers.ts"
import { Report } from "../acceptance/clients/Report.ts"
import * as Clients from "../acceptance/clients/Tools.ts"
import * as Charts from "./Charts.ts"
import * as Composed from "./Composed.ts"
import * as DockerCompose from "./DockerCompose.ts"
import * as Files from "./Files.ts"
import * as Image from "./Image.ts"
import * as Tools from "./Tools.ts"

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const unknown = args.find((argument) => !["--static", "--compose"].includes(argument))
  if (unknown !== undefined || args.length > 1) {
    throw new Usage(`${args.join(" ")}: unknown. usage: npm run test:deploy [-- --static | --compose]`)
  }
  const isStatic = args.includes("--static")
  const isComposed = args.includes("--compose")
  const cache = Servers.cacheFolder()
  await Prometheus.install(cache)
  await Haproxy.install(cache)
  if (isComposed) {
    await minioProgram.install(cache)
    await Tools.compose.install(cache)
    await DockerCompose.install(cache)
  } else await Tools.install(cache)
  if (!isStatic) {
    await Servers.install()
    await Clients.install(cache)
  }
  const group = new Group()
  onEndingSignal(() => void group.stop().finally(() => process.exit(1)))
  const folder = join(group.folder, "deploy")
  mkdirSync(folder)
  const report = new Report()
  const suites = isComposed
    ? [Composed.suite(group, folder)]
    : [
        Files.prometheus(cache, folder),
        Charts.suite(cache, folder),
        Files.composed(cache),
        Files.units(folder),
        ...(isStatic ? [] : [Image.suite(group, folder)])
      ]
  try {
    for (const suite of suites) await report.suite(suite)
  } finally {
    await group.stop()
  }
  const { passed, failed, skipped } = report
  tally("deploy", report)
  process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`)
  return failed === 0 && passed > 0 ? 0 : 1
}

runProgram(main)
