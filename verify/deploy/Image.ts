/** The image: docker builds it, and it serves, collects and stops without rights on a root that it cannot write to. */
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { messageOf } from "../../tools/Program.ts"
import { root } from "../../tools/Repository.ts"
import { freePorts, type Group, run } from "../../tools/servers/Processes.ts"
import * as Servers from "../../tools/servers/Servers.ts"
import { type Docker, startDocker } from "../acceptance/clients/Docker.ts"
import { type Check, Skipped, type Suite } from "../acceptance/clients/Report.ts"
import { findTools, type Tools } from "../acceptance/clients/Tools.ts"
import * as Balanced from "./Balanced.ts"
import { writeBase } from "./Base.ts"

/** Bytes that the image may have, unpacked, as `docker images` counts them. */
const sizeMax = 150_000_000

const image = "artifact-gc:test"

/** What the checks of the image have. */
export interface World {
  readonly group: Group
  readonly tools: Tools
  readonly docker: Docker
  readonly servers: Servers.Found
  readonly folder: string
}

const environment = ({ databaseUrl, s3 }: Servers.Found): ReadonlyArray<string> =>
  Object.entries({
    DATABASE_URL: databaseUrl,
    S3_BUCKET: s3.bucket,
    S3_ENDPOINT: s3.endpoint,
    S3_REGION: s3.region,
    S3_ACCESS_KEY_ID: s3.accessKeyId,
    S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
    SERVE_HOST: "127.0.0.1",
    OPS_HOST: "127.0.0.1"
  }).flatMap(([name, value]) => ["--env", `${name}=${value}`])

/** What the compose file and the chart take away from a container. */
const confined = ["--network=host", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]

/** Imports the base, and builds the image from it under this name. */
export const buildImage = async ({
  base,
  docker,
  name,
  tools
}: Pick<World, "docker" | "tools"> & { readonly base: string; readonly name: string }): Promise<void> => {
  const authority = process.env.NODE_EXTRA_CA_CERTS
  await docker("import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", base, "base:test")
  await run(
    tools.docker,
    [
      ...["--host", docker.host, "build", "--network=host", "--build-arg", "BASE=base:test", "--tag", name],
      ...(authority === undefined ? [] : ["--secret", `id=ca,src=${authority}`]),
      ...["--file", join(root, "deploy/docker/Dockerfile"), root]
    ],
    { env: { ...tools.env, DOCKER_BUILDKIT: "1" } }
  )
}

const digestOf = (bytes: string): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

const send = async (
  url: string,
  method: string,
  expected: number,
  body?: string,
  type?: string
): Promise<Response> => {
  const answer = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body }),
    headers: type === undefined ? {} : { "content-type": type }
  })
  assert.equal(answer.status, expected, `${method} ${url}: ${await answer.clone().text()}`)
  return answer
}

/** Pushes an image of one layer, and returns its manifest and the manifest's digest. */
const push = async (registry: string): Promise<{ readonly digest: string; readonly manifest: string }> => {
  const blob = async (bytes: string) => {
    const digest = digestOf(bytes)
    const url = `${registry}/v2/app/blobs/uploads/?digest=${digest}`
    await send(url, "POST", 201, bytes, "application/octet-stream")
    return { digest, size: bytes.length }
  }
  const mediaType = "application/vnd.oci.image.manifest.v1+json"
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...(await blob("{}")) },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...(await blob("a layer".repeat(1000))) }]
  })
  await send(`${registry}/v2/app/manifests/1`, "PUT", 201, manifest, mediaType)
  return { digest: digestOf(manifest), manifest }
}

const inspect = async (docker: Docker, name: string, format: string): Promise<string> =>
  (await docker("inspect", "--format", format, name)).trim()

const contents = (world: () => World): ReadonlyArray<Check> => [
  {
    name: "docker builds the image",
    run: () => buildImage({ ...world(), base: join(world().folder, "base.tar"), name: image })
  },
  {
    name: `it has at most ${sizeMax / 1e6} MB, unpacked`,
    run: async () => {
      const size = Number(await inspect(world().docker, image, "{{.Size}}"))
      const node = await world().docker(
        "run",
        "--rm",
        "--network=none",
        "--entrypoint=/usr/local/bin/node",
        image,
        "--version"
      )
      assert.ok(size <= sizeMax, `${size} bytes with Node ${node}`)
      return `${(size / 1e6).toFixed(1)} MB with Node ${node.trim()}`
    }
  },
  {
    name: "it has another user than root, and a health check",
    run: async () => {
      assert.equal(await inspect(world().docker, image, "{{.Config.User}}"), "65532:65532")
      assert.match(
        await inspect(world().docker, image, "{{json .Config.Healthcheck.Test}}"),
        /healthcheck\.mjs/
      )
    }
  },
  {
    name: "it has the page of man, and completions as the program prints them",
    run: async () => {
      const { docker, folder } = world()
      const container = (await docker("create", image)).trim()
      const contentOf = async (path: string) => {
        const to = join(folder, "copied")
        await docker("cp", `${container}:${path}`, to)
        return readFileSync(to, "utf8")
      }
      const page = await contentOf("/usr/share/man/man1/artifact-gc.1")
      assert.equal(page, readFileSync(join(root, "man/artifact-gc.1"), "utf8"))
      const bash = await contentOf("/usr/share/bash-completion/completions/artifact-gc")
      assert.equal(bash, await docker("run", "--rm", "--network=none", image, "--completions", "bash"))
      assert.match(await contentOf("/usr/share/zsh/vendor-completions/_artifact-gc"), /^#compdef artifact-gc/)
      assert.match(
        await contentOf("/usr/share/fish/vendor_completions.d/artifact-gc.fish"),
        /^complete -c artifact-gc/m
      )
      await docker("rm", container)
    }
  },
  {
    name: "it has no shell",
    run: () =>
      assert.rejects(
        world().docker("run", "--rm", "--network=none", "--entrypoint=/bin/sh", image, "-c", "true"),
        /no such file/
      )
  },
  {
    name: "its health check fails where no program answers: the control",
    run: () =>
      assert.rejects(
        world().docker(
          ...["run", "--rm", "--network=none", "--env", "OPS_PORT=9"],
          ...["--entrypoint=/usr/local/bin/node", image, "/app/healthcheck.mjs"]
        ),
        /ECONNREFUSED/
      )
  }
]

/** Starts a container of this name that serves, and returns the registry's address. */
const serveAs = async ({ docker, servers }: World, name: string): Promise<string> => {
  const [serve, ops] = await freePorts(2)
  await docker(
    ...["run", "--detach", `--name=${name}`, "--health-interval=1s", "--health-start-period=1s"],
    ...[...confined, ...environment(servers)],
    ...["--env", `SERVE_PORT=${serve}`, "--env", `OPS_PORT=${ops}`, image, "serve", "--no-collect"]
  )
  return `http://127.0.0.1:${serve}`
}

const work = (world: () => World): ReadonlyArray<Check> => {
  const once = (...command: ReadonlyArray<string>) => {
    const { docker, servers } = world()
    return docker("run", "--rm", ...confined, ...environment(servers), image, ...command)
  }
  let registry = ""
  let digest = ""
  return [
    {
      name: "a container migrates",
      run: async () => void (await once("migrate", "--create-catalog", "--registry"))
    },
    {
      name: "a container serves, and docker finds it healthy",
      run: async () => {
        const { docker } = world()
        registry = await serveAs(world(), "serve")
        const healthy = async () => (await inspect(docker, "serve", "{{.State.Health.Status}}")) === "healthy"
        for (let left = 60; !(await healthy()); left--) {
          if (left === 0) throw new Error(await docker("logs", "serve"))
          await sleep(500)
        }
      }
    },
    {
      name: "a client pushes an image to it, and pulls it",
      run: async () => {
        const pushed = await push(registry)
        digest = pushed.digest
        const answer = await send(`${registry}/v2/app/manifests/1`, "GET", 200)
        assert.equal(await answer.text(), pushed.manifest)
      }
    },
    {
      name: "a sweep of another container is complete, and keeps the image",
      run: async () => {
        assert.match(await once("sweep", "--json"), /"outcome":\s*"complete"/)
        await send(`${registry}/v2/app/manifests/${digest}`, "GET", 200)
      }
    },
    ...Balanced.checks(world, { name: "serve", url: () => registry }, (name) => serveAs(world(), name)),
    Balanced.unready(world),
    {
      name: "as process 1 it stops at SIGTERM, with exit code 0",
      run: async () => {
        const { docker } = world()
        const started = performance.now()
        await docker("stop", "--time=30", "serve")
        assert.equal(await inspect(docker, "serve", "{{.State.ExitCode}}"), "0")
        return `after ${((performance.now() - started) / 1000).toFixed(1)} s`
      }
    }
  ]
}

/** The image, built and run under a dockerd of our own. */
export const suite = (group: Group, folder: string): Suite => {
  let started: World | undefined
  const world = () => started ?? assert.fail("dockerd was not started")
  return {
    prepare: async () => {
      if (process.getuid?.() !== 0) throw new Skipped("dockerd needs root")
      const tools = findTools(Servers.cacheFolder(), folder)
      const start = startDocker({ group, tools }, join(folder, "docker"), { runs: true }).catch(
        (error: unknown) => {
          throw new Skipped(`dockerd does not start here: ${messageOf(error)}`)
        }
      )
      const base = writeBase(Servers.cacheFolder(), folder)
      const [docker, servers] = await Promise.all([start, Servers.up({ group, fsync: false }), base])
      started = { group, tools, docker, servers, folder }
    },
    checks: [...contents(world), ...work(world)]
  }
}
