/**
 * The compose file's balancer before two containers of the image: docker pushes and pulls through it, one replica drains and
 * one is killed, and no request fails.
 */
import assert from "node:assert/strict"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as Haproxy from "../../tools/servers/Haproxy.ts"
import { type Daemon, freePorts, type Group } from "../../tools/servers/Processes.ts"
import { cacheFolder } from "../../tools/servers/Servers.ts"
import type { Docker } from "../acceptance/clients/Docker.ts"
import { makeLayer } from "../acceptance/clients/Images.ts"
import type { Check } from "../acceptance/clients/Report.ts"
import { deployed } from "./Tools.ts"

/** What the checks have. */
export interface Scene {
  readonly group: Group
  readonly docker: Docker
  readonly folder: string
}

/** Returns the compose file's configuration with these ports, and with checks ten times as often. */
export const configurationAt = (port: number, replicas: readonly [string, string]): string => {
  const changes: ReadonlyArray<readonly [RegExp, string]> = [
    [/bind :5000/, `bind 127.0.0.1:${port}`],
    [/registry-1:5000/g, new URL(replicas[0]).host],
    [/registry-2:5000/g, new URL(replicas[1]).host],
    // There is no name server of Docker.
    [/ resolvers docker init-addr none/, ""],
    [/^resolvers docker[\s\S]*/m, ""],
    [/inter 2s/, "inter 200ms"]
  ]
  let text = readFileSync(deployed("compose", "haproxy.cfg"), "utf8")
  for (const [from, to] of changes) {
    assert.match(text, from)
    text = text.replace(from, to)
  }
  return text
}

/** Starts HAProxy with a configuration, and returns its log. */
const start = ({ folder, group }: Scene, name: string, text: string): Daemon => {
  const file = join(folder, `${name}.cfg`)
  writeFileSync(file, text)
  const { env, path } = Haproxy.haproxy(cacheFolder())
  const logFile = join(folder, `${name}.log`)
  return group.daemon(path, ["-dW", "-db", "-f", file], { env, logFile })
}

const statusOf = (url: string): Promise<number> =>
  fetch(url).then(
    async (answer) => {
      await answer.arrayBuffer()
      return answer.status
    },
    () => 0
  )

const eventually = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
  for (let left = 600; !(await isSo()); left--) {
    if (left === 0) throw new Error(`${what}: not within 60 s`)
    await sleep(100)
  }
}

/** Asks for a manifest without a pause while `meanwhile` runs, and returns how often. Fails if a request did. */
const asking = async (url: string, meanwhile: () => Promise<void>): Promise<number> => {
  let isOver = false
  const statuses: Array<number> = []
  const loop = async () => {
    while (!isOver) statuses.push(await statusOf(url))
  }
  const loops = [loop(), loop()]
  await meanwhile().finally(() => {
    isOver = true
  })
  await Promise.all(loops)
  assert.deepEqual([...new Set(statuses)], [200])
  return statuses.length
}

/** The checks. The container `first` serves already. `serve` starts another, and returns its address. */
export const checks = (
  world: () => Scene,
  first: { readonly name: string; readonly url: () => string },
  serve: (name: string) => Promise<string>
): ReadonlyArray<Check> => {
  const second = "second"
  let url = ""
  let log: () => ReadonlyArray<string> = () => []
  /** Returns how many requests a replica answered with success. */
  const served = (name: string, lines = log()) =>
    lines.filter((line) => new RegExp(` registry replicas/${name} \\S+ 2\\d\\d `).test(line)).length
  return [
    {
      name: "HAProxy with the compose file's configuration balances two replicas",
      run: async () => {
        const [port = 0] = await freePorts(1)
        const replicas = [first.url(), await serve(second)] as const
        start(world(), "haproxy", configurationAt(port, replicas))
        log = () => readFileSync(join(world().folder, "haproxy.log"), "utf8").split("\n")
        url = `http://127.0.0.1:${port}`
        await eventually("both replicas", async () => {
          await statusOf(`${url}/v2/`)
          return served("registry-1") > 0 && served("registry-2") > 0
        })
      }
    },
    {
      name: "docker pushes and pulls through it, and each replica answers a part",
      run: async () => {
        const { docker, folder } = world()
        const name = `127.0.0.1:${new URL(url).port}/balanced:1`
        const file = join(folder, "balanced.tar")
        writeFileSync(file, makeLayer("balanced", 8 * 1024 * 1024).tar)
        await docker("import", file, name)
        await docker("push", name)
        await docker("rmi", name)
        await docker("pull", name)
        const [one, two] = [served("registry-1"), served("registry-2")]
        assert.ok(one > 2 && two > 2, `${one} and ${two} requests`)
        return `${one} and ${two} requests`
      }
    },
    {
      name: "a replica that stops costs no request, and comes back",
      run: async () => {
        const manifest = `${url}/v2/balanced/manifests/1`
        const { docker } = world()
        const count = await asking(manifest, async () => {
          await docker("stop", "--time=30", first.name)
          await sleep(500)
        })
        const seen = log().length
        await asking(manifest, async () => {
          await docker("start", first.name)
          await eventually("the replica", async () => served("registry-1", log().slice(seen)) > 2)
        })
        return `${count} requests meanwhile`
      }
    },
    {
      name: "a replica that is killed costs no request either",
      run: async () => {
        const manifest = `${url}/v2/balanced/manifests/1`
        const { docker } = world()
        const count = await asking(manifest, async () => {
          await docker("kill", second)
          await sleep(500)
        })
        await docker("rm", "--force", second)
        return `${count} requests meanwhile`
      }
    }
  ]
}

/** The check of what the balancer does when no replica is ready. Its replica is no program of ours. */
export const unready = (world: () => Scene): Check => ({
  name: "replicas that are not ready are asked if there are no others, unless the backups are left out",
  run: async () => {
    const unready = createServer(({ url }, answer) => {
      answer.writeHead(url === "/readyz" ? 503 : 200).end()
    })
    await new Promise<void>((resolve) => unready.listen(0, "127.0.0.1", resolve))
    const replica = `http://127.0.0.1:${(unready.address() as AddressInfo).port}`
    const [withBackups = 0, without = 0] = await freePorts(2)
    const control = configurationAt(without, [replica, replica]).replace(/^ *server unready.*$/gm, "")
    const daemons = [
      start(world(), "unready", configurationAt(withBackups, [replica, replica])),
      start(world(), "unready-control", control)
    ]
    await eventually("the control", async () => (await statusOf(`http://127.0.0.1:${without}/v2/`)) === 503)
    assert.equal(await statusOf(`http://127.0.0.1:${withBackups}/v2/`), 200)
    for (const daemon of daemons) await daemon.stop()
    unready.closeAllConnections()
    unready.close()
  }
})
