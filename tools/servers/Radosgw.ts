/**
 * Ceph's S3 server from Debian's packages: one monitor, one object store in memory, one gateway. Starts in
 * about two seconds. It uses about 14 KB of memory for an object of 1 KiB.
 */
import { randomUUID } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../Program.ts"
import type { S3Account } from "./Bucket.ts"
import { libraryEnv, packageFolder, unpack } from "./Packages.ts"
import { type Daemon, freePorts, type Group, retryStart, until } from "./Processes.ts"
import type { S3Server, StartedS3Server } from "./S3Server.ts"

const rootOf = (cache: string): string => packageFolder(cache, "radosgw")

/** The tools' settings: a cluster of one, without authentication between its parts, on loopback alone. */
const config = (
  folder: string,
  libraries: string,
  monitorPort: number,
  gatewayPort: number
): string => `[global]
fsid = ${randomUUID()}
mon host = v2:127.0.0.1:${monitorPort}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
paxos propose interval = 0.05
paxos min wait = 0.01
mon allow pool size one = true
mon max pg per osd = 1000
mon data = ${folder}/mon
osd data = ${folder}/osd
osd objectstore = memstore
memstore device bytes = 8589934592
osd class dir = ${libraries}/rados-classes
osd class load list = *
osd class default list = *
osd crush chooseleaf type = 0
osd heartbeat grace = 86400
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
# The default logs of past writes, kept for recovery, took two thirds of the memory (measured 2026-11-23).
osd min pg log entries = 10
osd max pg log entries = 20
osd pg log trim min = 5
osd pg log dups tracked = 10
plugin dir = ${libraries}/ceph
erasure code dir = ${libraries}/ceph/erasure-code
compression dir = ${libraries}/ceph/compressor
crypto dir = ${libraries}/ceph/crypto
run dir = ${folder}/run
admin socket = ${folder}/run/$name.$pid.asok
pid file = ${folder}/run/$name.pid
log file = ${folder}/log/$name.log
rgw frontends = beast endpoint=127.0.0.1:${gatewayPort}
rgw dns name = localhost
rgw data = ${folder}/run
# Resharding a large bucket blocks its writes in the middle of a measurement.
rgw dynamic resharding = false
# The data of deleted large objects would stay in memory for two hours.
rgw gc obj min wait = 10
rgw gc processor period = 10
rgw gc processor max time = 10
`

/** How the parts of one cluster are run. */
interface Cluster {
  readonly folder: string
  /** Runs one of Ceph's tools to its end. */
  readonly tool: (part: string, ...args: ReadonlyArray<string>) => Promise<string>
  /** Starts one of Ceph's daemons. */
  readonly daemon: (part: string, ...args: ReadonlyArray<string>) => Daemon
}

const launch = async (
  group: Group,
  installed: string,
  account: S3Account,
  ready: (endpoint: string) => Promise<boolean>,
  attempt: number
): Promise<StartedS3Server> => {
  const folder = join(group.folder, `radosgw-${attempt}`)
  for (const part of ["mon", "osd", "run", "log"]) mkdirSync(join(folder, part), { recursive: true })
  const [monitorPort = 0, gatewayPort = 0] = await freePorts(2)
  const multiarch = readdirSync(join(installed, "usr/lib")).find((part) => part.endsWith("-linux-gnu"))
  if (multiarch === undefined)
    throw new Error(`${installed} holds no libraries: remove it and install again.`)
  const conf = join(folder, "ceph.conf")
  writeFileSync(conf, config(folder, join(installed, "usr/lib", multiarch), monitorPort, gatewayPort))
  const options = { cwd: folder, env: { ...libraryEnv(installed), CEPH_ARGS: "" } }
  const daemons: Array<Daemon> = []
  const stop = async () => {
    await Promise.all(daemons.map((daemon) => daemon.stop()))
  }
  const cluster: Cluster = {
    folder,
    tool: (part, ...args) => group.run(join(installed, "usr/bin", part), [...args, "-c", conf], options),
    daemon: (part, ...args) => {
      const logFile = join(folder, `${part}.out`)
      const command = join(installed, "usr/bin", part)
      const daemon = group.daemon(command, ["-c", conf, ...args, "-f"], { ...options, logFile })
      daemons.push(daemon)
      return daemon
    }
  }
  const endpoint = `http://127.0.0.1:${gatewayPort}`
  try {
    await startStore(cluster, monitorPort)
    await startGateway(cluster, account, () => ready(endpoint))
  } catch (error) {
    await stop()
    throw error
  }
  return { endpoint, stop }
}

/** Makes the maps by hand: the usual way, through the ceph command, needs Python and takes a second. */
const startStore = async ({ folder, tool, daemon }: Cluster, monitorPort: number): Promise<void> => {
  const monitorMap = join(folder, "monmap")
  const storeMap = join(folder, "osdmap")
  const address = `[v2:127.0.0.1:${monitorPort}]`
  await tool("monmaptool", "--create", "--clobber", "--addv", "a", address, monitorMap)
  await tool("osdmaptool", "--createsimple", "1", "--clobber", storeMap)
  await tool("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitorMap, "--osdmap", storeMap)
  await tool("ceph-osd", "--no-mon-config", "-i", "0", "--mkfs", "--osd-uuid", randomUUID())
  const monitor = daemon("ceph-mon", "-i", "a")
  const store = daemon("ceph-osd", "-i", "0")
  // A gateway that starts before the store is up waits five seconds for its next attempt.
  const monitorLog = join(folder, "log/mon.a.log")
  await until("ceph-osd", store, 30_000, () => {
    if (monitor.ended) throw new Error(`ceph-mon: the process ended\n${monitor.log()}`)
    return existsSync(monitorLog) && /osd\.0 .* boot/.test(readFileSync(monitorLog, "utf8"))
  })
}

const startGateway = async (
  { tool, daemon }: Cluster,
  account: S3Account,
  ready: () => Promise<boolean>
): Promise<void> => {
  await tool(
    "radosgw-admin",
    ...["user", "create", "--uid=test", "--display-name=test"],
    ...[`--access-key=${account.accessKeyId}`, `--secret-key=${account.secretAccessKey}`],
    // Tests of policies create further users, through the gateway.
    "--caps=users=*;user-policy=*"
  )
  await until("radosgw", daemon("radosgw", "-n", "client.admin"), 30_000, ready)
}

export const radosgw: S3Server = {
  name: "radosgw",
  install: (cache) => unpack(["ceph-mon", "ceph-osd", "radosgw"], rootOf(cache)),
  start: async (group, cache, account, ready) => {
    const installed = rootOf(cache)
    if (!existsSync(installed)) {
      throw new Missing(
        "radosgw is not installed: run `npm run servers -- install` (Debian 12, no root needed)."
      )
    }
    return retryStart(group, (attempt) => launch(group, installed, account, ready, attempt))
  }
}
