/**
 * All of the compose file but Grafana, started by docker compose under a dockerd with a network of its own. docker pushes and
 * pulls through the balancer, the collector collects, Prometheus scrapes, and the page is looked at.
 */
import assert from "node:assert/strict"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { messageOf } from "../../tools/Program.ts"
import { capture, type Group, type Output, run } from "../../tools/servers/Processes.ts"
import { cacheFolder } from "../../tools/servers/Servers.ts"
import { type Docker, startDocker } from "../acceptance/clients/Docker.ts"
import { type Check, Skipped, type Suite } from "../acceptance/clients/Report.ts"
import { findTools, type Tools } from "../acceptance/clients/Tools.ts"
import { writeBase } from "./Base.ts"
import { importImage, made } from "./ComposeImages.ts"
import { buildImage } from "./Image.ts"
import { deployed, dockerCompose } from "./Tools.ts"

interface World {
  readonly docker: Docker
  readonly tools: Tools
  readonly folder: string
}

const file = deployed("compose", "compose.yaml")

/** Services that are started. Grafana's program is in no package that tests can reach. */
const services = [
  "postgres",
  "minio",
  "migrate",
  "registry-1",
  "registry-2",
  "collector",
  "balancer",
  "prometheus"
]

/** Waits of seconds in place of minutes, so that a collection can be seen. */
const hasty = {
  GC_INTERVAL: "2 seconds",
  GC_JITTER: "0 seconds",
  GC_GRACE: "1 second",
  GC_QUARANTINE: "1 second",
  REGISTRY_HOLD: "1 second"
}

const compose = async ({ docker, folder, tools }: World, ...args: ReadonlyArray<string>): Promise<Output> => {
  const override = join(folder, "hasty.yaml")
  const ours = ["registry-1", "registry-2", "collector"]
  const environment = Object.fromEntries(ours.map((name) => [name, { environment: hasty }]))
  writeFileSync(override, JSON.stringify({ services: environment }))
  return capture(dockerCompose.binary(cacheFolder()), ["--file", file, "--file", override, ...args], {
    env: { ...tools.env, DOCKER_HOST: docker.host }
  })
}

/** Runs a command of compose that must succeed, and returns its standard output. */
const composed = async (world: World, ...args: ReadonlyArray<string>): Promise<string> => {
  const { all, code, stdout } = await compose(world, ...args)
  if (code === 0) return stdout
  const { all: logs } = await compose(world, "logs", "--tail=15")
  throw new Error(`docker compose ${args.join(" ")} ended with ${code}:\n${all}\n${logs}`)
}

/** Asks an address in the network of the daemon, where its published ports are. */
const ask = ({ docker }: World, ...args: ReadonlyArray<string>): Promise<string> =>
  run("nsenter", [`--net=/proc/${docker.pid}/ns/net`, "curl", "--silent", "--show-error", ...args])

const registry = "http://localhost:5000"

const statusOf = (world: World, url: string): Promise<string> =>
  ask(world, "--output", "/dev/null", "--write-out", "%{http_code}", url)

interface Answer {
  readonly status: string
  readonly data: {
    readonly result: ReadonlyArray<{
      readonly metric: Readonly<Record<string, string>>
      readonly value: readonly [number, string]
    }>
  }
}

/** Asks Prometheus. */
const query = async (world: World, expression: string): Promise<Answer["data"]["result"]> => {
  const url = "http://localhost:9090/api/v1/query"
  const text = await ask(world, "--get", "--data-urlencode", `query=${expression}`, url)
  const answer: Answer = JSON.parse(text)
  assert.equal(answer.status, "success", `${expression}: ${text}`)
  return answer.data.result
}

/** Tries again until `attempt` passes. */
const eventually = async <A>(seconds: number, attempt: () => Promise<A>): Promise<A> => {
  const deadline = performance.now() + seconds * 1000
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(500)
    }
  }
}

/** Asks for a manifest again and again while `meanwhile` runs. Fails if a request did. */
const asking = async (world: World, meanwhile: () => Promise<unknown>): Promise<number> => {
  let isOver = false
  const statuses: Array<string> = []
  const loop = (async () => {
    while (!isOver) statuses.push(await statusOf(world, `${registry}/v2/app/manifests/1`))
  })()
  await meanwhile().finally(() => {
    isOver = true
  })
  await loop
  assert.deepEqual([...new Set(statuses)], ["200"])
  return statuses.length
}

/** Returns the expressions of the dashboard's panels, with its variables filled in. */
const expressions = (): ReadonlyArray<string> => {
  const text = readFileSync(deployed("grafana", "dashboard.json"), "utf8")
  return [...text.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(([, expression = '""']) =>
    String(JSON.parse(expression))
      .replaceAll("$__rate_interval", "1m")
      .replaceAll("$__interval", "1m")
      .replaceAll("$__range", "1h")
      .replace(/\$\w+/g, ".*")
  )
}

const starting = (world: () => World): ReadonlyArray<Check> => [
  {
    name: "docker compose reads the file",
    run: async () => void (await composed(world(), "config", "--quiet"))
  },
  {
    name: "docker compose starts all but Grafana, and waits until it is healthy",
    run: () => composed(world(), "up", "--wait", "--no-build", "--pull=never", ...services)
  },
  {
    name: "docker pushes to localhost:5000, and pulls",
    run: async () => {
      const { docker } = world()
      const name = "localhost:5000/app:1"
      await docker("tag", "haproxy:2.8", name)
      await docker("push", name)
      await docker("rmi", name)
      await docker("pull", name)
    }
  },
  {
    name: "a sweep by hand is complete, and keeps the image",
    run: async () => {
      const out = await composed(
        world(),
        ...["exec", "--no-TTY", "collector", "/usr/local/bin/node", "/app/dist/main.js", "sweep", "--json"]
      )
      assert.match(out, /"outcome":\s*"complete"/)
      assert.equal(await statusOf(world(), `${registry}/v2/app/manifests/1`), "200")
    }
  },
  {
    name: "the collector's page is there, and says that all is well",
    run: async () => {
      const script =
        "fetch('http://127.0.0.1:9464/').then(async (a) => console.log(a.status, await a.text()))"
      const page = await composed(
        world(),
        ...["exec", "--no-TTY", "collector", "/usr/local/bin/node", "--eval", script]
      )
      assert.match(page, /^200 <!doctype html>/i)
      assert.match(page, /<title>[^<]*artifact-gc/)
    }
  }
]

const watching = (world: () => World): ReadonlyArray<Check> => [
  {
    name: "Prometheus scrapes both replicas and the collector",
    run: () =>
      eventually(40, async () => {
        const up = await query(world(), 'up{job="artifact-gc"} == 1')
        const instances = up.map(({ metric }) => metric.instance).sort()
        assert.deepEqual(instances, ["collector:9464", "registry-1:9464", "registry-2:9464"])
        const served = await query(world(), "sum by (instance) (artifact_gc_registry_requests_total) > 0")
        assert.equal(served.length, 2, "each replica answered a part")
      })
  },
  {
    name: "a deleted image is collected, and Prometheus sees the bytes",
    run: async () => {
      const manifests = `${registry}/v2/app/manifests`
      const headers = await ask(world(), "--head", `${manifests}/1`)
      const digest = /docker-content-digest: (\S+)/i.exec(headers)?.[1] ?? assert.fail(headers)
      assert.match(
        await ask(world(), "--request", "DELETE", "--write-out", "%{http_code}", `${manifests}/${digest}`),
        /202$/
      )
      return eventually(60, async () => {
        const [bytes] = await query(world(), "sum(artifact_gc_phase_deleted_bytes_total) > 1000000")
        return `${(Number(bytes?.value[1] ?? assert.fail("nothing was reclaimed")) / 1e6).toFixed(1)} MB`
      })
    }
  },
  {
    name: "Prometheus has read the alerts, and none fires",
    run: async () => {
      const rules = await ask(world(), "http://localhost:9090/api/v1/rules")
      assert.match(rules, /ArtifactGcNothingCollected/)
      const alerts = await ask(world(), "http://localhost:9090/api/v1/alerts")
      assert.doesNotMatch(alerts, /"state":"firing"/)
    }
  },
  {
    name: "Prometheus answers every query of the dashboard",
    run: async () => {
      const all = expressions()
      assert.ok(all.length > 20)
      let withData = 0
      for (const expression of all) if ((await query(world(), expression)).length > 0) withData += 1
      assert.ok(withData > all.length / 2, `${withData} of ${all.length} have data`)
      return `${withData} of ${all.length} have data`
    }
  }
]

const ending = (world: () => World): ReadonlyArray<Check> => [
  {
    name: "the balancer finds a replica again that has a new address, and misses none that is killed",
    run: async () => {
      const { docker } = world()
      const name = "localhost:5000/app:1"
      await docker("push", name)
      const recreated = await asking(world(), () =>
        composed(world(), "up", "--wait", "--no-build", "--no-deps", "--force-recreate", "registry-1")
      )
      await sleep(5000)
      const killed = await asking(world(), async () => {
        await composed(world(), "kill", "registry-2")
        await sleep(2000)
      })
      return `${recreated} and ${killed} requests meanwhile`
    }
  },
  {
    name: "the collector stops at once with exit code 0, and docker compose removes everything",
    run: async () => {
      await composed(world(), "stop", "collector")
      assert.match(await composed(world(), "ps", "--all", "--format=json", "collector"), /"ExitCode":0/)
      await composed(world(), "down", "--volumes")
      assert.equal(await world().docker("ps", "--all", "--quiet"), "")
      assert.equal(await world().docker("volume", "ls", "--quiet"), "")
    }
  }
]

/** The image names of the compose file by service. */
const imageNames = async ({ docker, tools }: Pick<World, "docker" | "tools">) => {
  const text = await run(dockerCompose.binary(cacheFolder()), ["--file", file, "config", "--format=json"], {
    env: { ...tools.env, DOCKER_HOST: docker.host }
  })
  const config: { readonly services: Readonly<Record<string, { readonly image: string }>> } = JSON.parse(text)
  return (service: string) => config.services[service]?.image ?? assert.fail(service)
}

export const suite = (group: Group, folder: string): Suite => {
  let started: World | undefined
  return {
    prepare: async () => {
      if (process.getuid?.() !== 0) throw new Skipped("dockerd needs root")
      const cache = cacheFolder()
      const tools = findTools(cache, folder)
      const start = (home: string, ownNetwork: boolean) =>
        startDocker({ group, tools }, join(folder, home), { runs: true, ownNetwork }).catch(
          (error: unknown) => {
            throw new Skipped(`dockerd does not start here: ${messageOf(error)}`)
          }
        )
      // The build needs npm's registry, and the network of the other daemon has no way out.
      const builder = await start("builder", false)
      const base = await writeBase(cache, folder)
      const docker = await start("compose", true)
      const nameOf = await imageNames({ docker, tools })
      const ours = nameOf("collector")
      await buildImage({ docker: builder, tools, base, name: ours })
      const saved = join(folder, "image.tar")
      await builder("save", "--output", saved, ours)
      await docker("load", "--input", saved)
      for (const service of Object.keys(made) as ReadonlyArray<keyof typeof made>) {
        await importImage(docker, folder, service, cache, nameOf(service))
      }
      started = { docker, tools, folder }
    },
    checks: [starting, watching, ending].flatMap((checks) =>
      checks(() => started ?? assert.fail("dockerd was not started"))
    )
  }
}
