/**
 * All of the compose file but Grafana, started by docker-compose under a dockerd with a network of its own. docker pushes and
 * pulls through the balancer, the collector collects, Prometheus scrapes, and the page is looked at.
 */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { messageOf } from "../../tools/Program.ts"
import { type Group, run } from "../../tools/servers/Processes.ts"
import { cacheFolder } from "../../tools/servers/Servers.ts"
import { type Docker, startDocker } from "../acceptance/clients/Docker.ts"
import { type Check, Skipped, type Suite } from "../acceptance/clients/Report.ts"
import { findTools, type Tools } from "../acceptance/clients/Tools.ts"
import { writeBase } from "./Base.ts"
import { importImage, made } from "./ComposeImages.ts"
import { type Compose, compose } from "./DockerCompose.ts"
import { buildImage } from "./Image.ts"
import { checked, compose as composeLibrary, deployed } from "./Tools.ts"

interface World {
  readonly docker: Docker
  readonly compose: Compose
  readonly folder: string
}

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
  // Longer than a push of these images takes on a busy machine.
  REGISTRY_HOLD: "20 seconds"
}

const ours = ["registry-1", "registry-2", "collector"]

const override = { services: Object.fromEntries(ours.map((name) => [name, { environment: hasty }])) }

/** Runs a command of compose that must succeed, and returns its standard output. */
const composed = async ({ compose }: World, ...args: ReadonlyArray<string>): Promise<string> => {
  const { all, code, stdout } = await compose(...args)
  if (code === 0) return stdout
  const { all: logs } = await compose("logs", "--tail=15")
  throw new Error(`docker-compose ${args.join(" ")} ended with ${code}:\n${all}\n${logs}`)
}

/** Returns a field of a service's container. */
const inspected = async ({ compose, docker }: World, service: string, format: string): Promise<string> => {
  const { stdout } = await compose("ps", "--quiet", service)
  return (await docker("inspect", "--format", format, stdout.trim())).trim()
}

/** Waits until these services run, and are healthy where they have a check of health. */
const healthy = (world: World, names: ReadonlyArray<string>): Promise<void> =>
  eventually(120, async () => {
    for (const name of names) {
      const state = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}"
      assert.equal(await inspected(world, name, state), "running healthy", name)
    }
  })

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
    name: "docker-compose reads the file",
    run: async () => void (await composed(world(), "config", "--quiet"))
  },
  {
    name: "docker-compose starts all but Grafana, and all become healthy",
    run: async () => {
      await composed(world(), "up", "--detach", "--no-build", ...services)
      assert.equal(await inspected(world(), "migrate", "{{.State.ExitCode}}"), "0")
      await healthy(
        world(),
        services.filter((name) => name !== "migrate")
      )
    }
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
        ...["exec", "-T", "collector", "/usr/local/bin/node", "/app/dist/main.js", "sweep", "--json"]
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
        ...["exec", "-T", "collector", "/usr/local/bin/node", "--eval", script]
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
      return eventually(120, async () => {
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
      const recreated = await asking(world(), async () => {
        const again = ["up", "--detach", "--no-build", "--no-deps", "--force-recreate"]
        await composed(world(), ...again, "registry-1")
        await healthy(world(), ["registry-1"])
      })
      // The balancer resolves names every two seconds, and asks for readiness as often.
      await sleep(6000)
      const killed = await asking(world(), async () => {
        await composed(world(), "kill", "registry-2")
        await sleep(2000)
      })
      return `${recreated} and ${killed} requests meanwhile`
    }
  },
  {
    name: "the collector stops with exit code 0, and docker-compose removes everything",
    run: async () => {
      await composed(world(), "stop", "collector")
      assert.equal(await inspected(world(), "collector", "{{.State.ExitCode}}"), "0")
      await composed(world(), "down", "--volumes")
      assert.equal(await world().docker("ps", "--all", "--quiet"), "")
      assert.equal(await world().docker("volume", "ls", "--quiet"), "")
    }
  }
]

/** Returns the image names of the compose file by service. */
const imageNames = async (): Promise<(service: string) => string> => {
  const args = ["-format", "json", "compose.yaml"]
  const text = await checked(composeLibrary.binary(cacheFolder()), args, deployed("compose"))
  const config: { readonly services: Readonly<Record<string, { readonly image: string }>> } = JSON.parse(text)
  return (service) => config.services[service]?.image ?? assert.fail(service)
}

/** Starts a dockerd, or says why its checks are skipped. */
const started = (group: Group, tools: Tools, home: string, ownNetwork: boolean): Promise<Docker> =>
  startDocker({ group, tools }, home, { runs: true, ownNetwork }).catch((error: unknown) => {
    throw new Skipped(`dockerd does not start here: ${messageOf(error)}`)
  })

/** Builds the program's image under this name, and returns it as a tar. */
const build = async (group: Group, tools: Tools, folder: string, name: string): Promise<string> => {
  // The build needs npm's registry, and the network of the other daemon has no way out.
  const docker = await started(group, tools, join(folder, "builder"), false)
  await buildImage({ docker, tools, base: await writeBase(cacheFolder(), folder), name })
  const saved = join(folder, "image.tar")
  await docker("save", "--output", saved, name)
  return saved
}

/** Starts the dockerd that composes, with all images. `built` returns the program's image as a tar. */
export const start = async (
  group: Group,
  tools: Tools,
  folder: string,
  built: (name: string) => Promise<string>
): Promise<World> => {
  const docker = await started(group, tools, join(folder, "compose"), true)
  const nameOf = await imageNames()
  await docker("load", "--input", await built(nameOf("collector")))
  for (const service of Object.keys(made) as ReadonlyArray<keyof typeof made>) {
    await importImage(docker, folder, service, cacheFolder(), nameOf(service))
  }
  return { docker, compose: compose(cacheFolder(), docker.host, folder, override), folder }
}

/** The checks, in their order. */
export const checks = (world: () => World): ReadonlyArray<Check> =>
  [starting, watching, ending].flatMap((part) => part(world))

/** The compose file, started. */
export const suite = (group: Group, folder: string): Suite => {
  let world: World | undefined
  return {
    prepare: async () => {
      if (process.getuid?.() !== 0) throw new Skipped("dockerd needs root")
      const tools = findTools(cacheFolder(), folder)
      world = await start(group, tools, folder, (name) => build(group, tools, folder, name))
    },
    checks: checks(() => world ?? assert.fail("dockerd was not started"))
  }
}
