/** docker: its daemon with folders, socket and containerd of its own, and its command line. */
import assert from "node:assert/strict"
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { messageOf } from "../../../tools/Program.ts"
import { until } from "../../../tools/servers/Processes.ts"
import { startContainerd } from "./Containerd.ts"
import type { Context } from "./Context.ts"
import { refused, user } from "./Guarded.ts"
import { hexOf, type Image, makeImage, makeLayer, writeDockerArchive } from "./Images.ts"
import { type LoginClient, loginChecks, otherFlows } from "./Logins.ts"
import { bytesOf, manifestOf, named } from "./Registry.ts"
import { type Check, Skipped, type Suite } from "./Report.ts"
import { expectUnpackedSame, skopeo } from "./Skopeo.ts"
import { untar } from "./Tar.ts"

/**
 * Wraps a command in a mount namespace of its own with an empty /run. The daemon makes folders there whatever
 * its settings are, and its mounts end with the namespace.
 */
const inOwnMounts = (
  program: string,
  args: ReadonlyArray<string>,
  ownNetwork: boolean
): readonly [string, Array<string>] => [
  "unshare",
  [
    ...["--mount", ...(ownNetwork ? ["--net"] : []), "--propagation", "private", "sh", "-c"],
    `mount -t tmpfs tmpfs /run && ${ownNetwork ? "ip link set lo up && " : ""}exec "$@"`,
    ...["sh", program, ...args]
  ]
]

/** Runs a docker command and returns its standard output. */
export interface Docker {
  (...command: ReadonlyArray<string>): Promise<string>
  /** The daemon's address. */
  readonly host: string
  /** The daemon's process. */
  readonly pid: number | undefined
}

/** How a dockerd is started. */
export interface DockerOptions {
  /** Whether it runs containers. Default: false. */
  readonly runs?: boolean
  /**
   * Whether it has a network of its own, with bridges and published ports that this machine does not see, and no way out.
   * Default: false.
   */
  readonly ownNetwork?: boolean
}

/** Puts `iptables` on PATH, which Debian makes a link of at installation. dockerd calls it for networks. */
const withIptables = ({ env }: Context["tools"], home: string): NodeJS.ProcessEnv => {
  const paths = (env.PATH ?? "").split(":")
  const program = paths.map((path) => join(path, "xtables-legacy-multi")).find((path) => existsSync(path))
  if (program === undefined) return env
  const bin = join(home, "bin")
  mkdirSync(bin)
  symlinkSync(program, join(bin, "iptables"))
  const [libraries] = (env.LD_LIBRARY_PATH ?? "")
    .split(":")
    .map((path) => join(path, "xtables"))
    .filter((path) => existsSync(path))
  return {
    ...env,
    PATH: `${bin}:${env.PATH}`,
    ...(libraries === undefined ? {} : { XTABLES_LIBDIR: libraries })
  }
}

/**
 * Starts a dockerd whose files are all below `home`. If it `runs` containers, it starts a containerd of its own, because that
 * one must see the mounts of its layers.
 */
export const startDocker = async (
  context: Pick<Context, "group" | "tools">,
  home: string,
  { ownNetwork = false, runs = false }: DockerOptions = {}
): Promise<Docker> => {
  const { group, tools } = context
  mkdirSync(home, { recursive: true })
  const containerd = runs ? [] : ["--containerd", await startContainerd(context, join(home, "containerd"))]
  const socket = `unix://${home}/docker.sock`
  const config = join(home, "daemon.json")
  // Without this path, the key that the daemon makes would be /etc/docker/key.json.
  writeFileSync(config, JSON.stringify({ "deprecated-key-path": join(home, "key.json") }))
  const flags = [
    ...["--config-file", config, "--host", socket, "--pidfile", join(home, "pid")],
    ...containerd,
    ...["--data-root", join(home, "data"), "--exec-root", join(home, "exec")],
    ...["--storage-driver", runs ? "overlay2" : "vfs", "--bridge=none", "--ip6tables=false"],
    ...(ownNetwork ? [] : ["--iptables=false"])
  ]
  const [program, args] = inOwnMounts(tools.dockerd, flags, ownNetwork)
  const daemon = group.daemon(program, args, {
    env: ownNetwork ? withIptables(tools, home) : tools.env,
    cwd: home,
    logFile: join(home, "log"),
    stopSignal: "SIGTERM"
  })
  const docker = Object.assign(
    (...command: ReadonlyArray<string>) =>
      group.run(tools.docker, ["--host", socket, ...command], { env: tools.env }),
    { host: socket, pid: daemon.pid }
  )
  const isUp = () =>
    docker("version").then(
      () => true,
      () => false
    )
  await until("dockerd", daemon, 30_000, isUp)
  return docker
}

type Run = (...command: ReadonlyArray<string>) => Promise<string>

const idOf = async (docker: Run, reference: string): Promise<string> =>
  (await docker("image", "inspect", "--format", "{{.Id}}", reference)).trim()

const forget = async (docker: Run, reference: string): Promise<void> => {
  await docker("rmi", "--force", reference)
  assert.equal((await docker("images", "--all", "--quiet")).trim(), "", "docker forgot the image")
}

/** Asserts that docker has each byte of the image: it makes the layers' tars again from its own files. */
const expectSaved = async (docker: Run, file: string, reference: string, image: Image): Promise<void> => {
  await docker("save", "--output", file, reference)
  const files = untar(readFileSync(file))
  const bytes = (name: string) => files.get(name) ?? Buffer.alloc(0)
  const [saved] = JSON.parse(bytes("manifest.json").toString()) as ReadonlyArray<{
    readonly Config: string
    readonly Layers: ReadonlyArray<string>
  }>
  assert.ok(saved, "docker saved an image")
  assert.ok(image.config.bytes.equals(bytes(saved.Config)), "the bytes of the configuration")
  assert.equal(saved.Layers.length, image.layers.length)
  for (const [index, layer] of image.layers.entries()) {
    assert.ok(layer.tar.equals(bytes(saved.Layers[index] ?? "")), `the bytes of layer ${index}`)
  }
}

/** Docker at a registry with users (Guarded.ts). `name` is an image that it has. */
const loggingIn = (docker: Run, guarded: string, name: string): ReadonlyArray<Check> => [
  {
    name: "docker logs in for a token: refused with a wrong password, pushes and pulls with the right one",
    run: async () => {
      const host = new URL(guarded).host
      const login = (password: string) =>
        docker("login", "--username", user.name, "--password", password, host)
      await refused(() => login("wrong"), /unauthorized|incorrect username or password/i)
      await login(user.password)
      for (const repository of ["team/docker", "public/docker"]) {
        const reference = named(guarded, repository, "1")
        await docker("tag", name, reference)
        await docker("push", reference)
        await docker("rmi", reference)
      }
      const other = named(guarded, "other/docker", "1")
      await docker("tag", name, other)
      await refused(() => docker("push", other), /denied|may not/)
      await docker("rmi", other)
      await docker("logout", host)
    }
  },
  {
    name: "docker pulls without credentials what all may read, and nothing else",
    run: async () => {
      const open = named(guarded, "public/docker", "1")
      await docker("pull", open)
      await docker("rmi", open)
      await refused(
        () => docker("pull", named(guarded, "team/docker", "1")),
        /unauthorized|needs credentials|denied/
      )
    }
  }
]

const loginClient = (docker: Run, name: string): LoginClient => {
  const at = async (reference: string, ...command: ReadonlyArray<string>) => {
    try {
      await docker(...command, reference)
    } finally {
      // A refused pull leaves no image. Its own error is the one that counts.
      await docker("rmi", "--force", reference).catch(() => {})
    }
  }
  return {
    name: "docker",
    login: (host, password) => docker("login", "--username", user.name, "--password", password, host),
    logout: (host) => docker("logout", host),
    push: async (host, repository) => {
      await docker("tag", name, `${host}/${repository}:1`)
      await at(`${host}/${repository}:1`, "push")
    },
    pull: (host, repository) => at(`${host}/${repository}:1`, "pull")
  }
}

export const suite = (context: Context): Suite => {
  const { folder, guarded, registry, repositories, kept } = context
  const imported = makeLayer("docker 409600", 400 * 1024)
  const layers = [
    makeLayer("docker 4096", 4 * 1024),
    imported,
    makeLayer("docker 17825792", 17 * 1024 * 1024)
  ]
  const image = makeImage("docker", layers)
  const through = registry.url
  const name = named(through, "docker/app", "1")
  const importedName = named(through, "docker/imported", "1")
  let started: Docker | undefined
  const docker: Run = (...command) =>
    started?.(...command) ?? Promise.reject(new Error("dockerd was not started"))

  const pulls: ReadonlyArray<Check> = registry.ways.map((way) => ({
    name: `docker pulls it, each byte, through the ${way.name}`,
    run: async () => {
      const reference = named(way.url, "docker/app", "1")
      await forget(docker, name)
      await docker("pull", reference)
      assert.equal(await idOf(docker, reference), image.config.digest)
      await expectSaved(docker, join(folder, "saved.tar"), reference, image)
      await forget(docker, reference)
      await docker("pull", name)
    }
  }))

  return {
    prepare: async () => {
      if (process.getuid?.() !== 0) throw new Skipped("dockerd needs root")
      started = await startDocker(context, join(folder, "docker")).catch((error: unknown) => {
        throw new Skipped(`dockerd does not start here: ${messageOf(error)}`)
      })
      for (const each of ["docker/app", "docker/imported", "team/docker", "public/docker"])
        repositories.add(each)
    },
    checks: [
      {
        name: "docker pushes an image that it loaded, one layer of 17 MiB",
        run: async () => {
          await docker("load", "--input", writeDockerArchive(join(folder, "docker.tar"), image, name))
          await docker("push", name)
        }
      },
      {
        name: "what docker pushed has the image's configuration and layers, each byte",
        run: async () => {
          const manifest = await manifestOf(through, "docker/app", "1")
          const blobs = new Map<string, Buffer>()
          for (const { digest } of [manifest.config, ...manifest.layers]) {
            blobs.set(digest, await bytesOf(`${through}/v2/docker/app/blobs/${digest}`))
          }
          expectUnpackedSame(manifest, blobs, image)
        }
      },
      ...pulls,
      {
        name: "docker pushes and pulls an image that it imported from a tar",
        run: async () => {
          const file = join(folder, "import.tar")
          writeFileSync(file, imported.tar)
          const id = (await docker("import", file, importedName)).trim()
          await docker("push", importedName)
          await docker("rmi", "--force", importedName)
          await docker("pull", importedName)
          assert.equal(await idOf(docker, importedName), id)
        }
      },
      ...loggingIn(docker, guarded.url, name),
      ...loginChecks(loginClient(docker, name), context, otherFlows),
      {
        name: "docker pulls what skopeo pushed, and skopeo what docker did",
        run: async () => {
          const reference = named(through, kept.repository, kept.tag)
          await docker("pull", reference)
          assert.equal(await idOf(docker, reference), kept.image.config.digest)
          const pulled = await skopeo(context).pull(name)
          const config = pulled.get(image.config.digest)
          assert.ok(config !== undefined && image.config.bytes.equals(config))
          assert.ok([...pulled.keys()].every((digest) => hexOf(digest).length === 64))
        }
      }
    ]
  }
}
