/**
 * podman and buildah. Each command runs in a mount namespace of its own, so that it writes below the context's folder alone.
 * No container is started.
 */
import assert from "node:assert/strict"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Command, homeOf, mountsOf } from "./Command.ts"
import type { Context } from "./Context.ts"
import { user } from "./Guarded.ts"
import { hexOf, makeImage, makeLayer, writeDockerArchive } from "./Images.ts"
import { type LoginClient, loginChecks } from "./Logins.ts"
import { manifestOf, named } from "./Registry.ts"
import { type Check, Skipped, type Suite } from "./Report.ts"
import { expectUnpackedSame, skopeo } from "./Skopeo.ts"

type Name = "podman" | "buildah"

const image = makeImage("podman", [
  makeLayer("podman small", 4 * 1024),
  makeLayer("podman large", 17 * 1024 * 1024)
])

/** Returns the settings that keep all folders below `home`. */
const containersConf = ({ tools }: Context, home: string): string => `[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
conmon_path = ["${tools.ofPodman("conmon")}"]
tmp_dir = "${home}/state"
static_dir = "${home}/static"
volume_path = "${home}/volumes"
image_copy_tmp_dir = "${home}/tmp"
[engine.runtimes]
crun = ["${tools.ofPodman("crun")}"]
[network]
network_backend = "cni"
network_config_dir = "${home}/cni"
`

const write = (context: Context, home: string): void => {
  const put = (name: string, text: string) => {
    mkdirSync(join(home, name, ".."), { recursive: true })
    writeFileSync(join(home, name), text)
  }
  put(".config/containers/policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`)
  put("containers.conf", containersConf(context, home))
  put("storage.conf", `[storage]\ndriver = "vfs"\ngraphroot = "${home}/graph"\nrunroot = "${home}/run"\n`)
  put("registries.conf", "")
  put("auth.json", "{}")
  for (const name of ["tmp", "var-lib", "cni"]) mkdirSync(join(home, name), { recursive: true })
}

/** Returns a program, which shares its images with the other. */
const commandOf = (context: Context, name: Name): Command => {
  const home = homeOf(context, "podman")
  const { group, tools } = context
  const env = {
    ...{ PATH: tools.env.PATH, LD_LIBRARY_PATH: tools.env.LD_LIBRARY_PATH },
    ...{ HOME: home, TMPDIR: join(home, "tmp"), REGISTRY_AUTH_FILE: join(home, "auth.json") },
    CONTAINERS_CONF: join(home, "containers.conf"),
    CONTAINERS_STORAGE_CONF: join(home, "storage.conf"),
    CONTAINERS_REGISTRIES_CONF: join(home, "registries.conf")
  }
  const mounts = `mount -t tmpfs tmpfs /run && mount --bind ${home}/var-lib /var/lib && exec "$@"`
  const wrapper = ["--mount", "--propagation", "private", "sh", "-c", mounts, "sh"]
  return async (...args) =>
    await group.run("unshare", [...wrapper, tools.ofPodman(name), ...args], { env, cwd: home })
}

const http = "--tls-verify=false"

const pushesAndPulls = (context: Context, podman: Command): ReadonlyArray<Check> => {
  const { registry, repositories } = context
  const home = homeOf(context, "podman")
  const reference = named(registry.url, "podman/app", "1")
  for (const name of ["app", "copied", "zstd"]) repositories.add(`podman/${name}`)
  const pull = async (from: string, { config } = image): Promise<void> => {
    await podman("rmi", "--all", "--force")
    await podman("pull", http, from)
    const id = await podman("image", "inspect", "--format", "{{.Id}}", from)
    assert.equal(id.trim(), hexOf(config.digest))
  }
  return [
    {
      name: "podman pushes an image that it loaded, one layer of 17 MiB, and each byte arrives",
      run: async () => {
        await podman("load", "--input", writeDockerArchive(join(home, "podman.tar"), image, reference))
        await podman("push", http, reference)
        const manifest = await manifestOf(registry.url, "podman/app", "1")
        expectUnpackedSame(manifest, await skopeo(context).pull(reference), image)
      }
    },
    ...registry.ways.map(({ name, url }) => ({
      name: `podman pulls it through the ${name}`,
      run: () => pull(named(url, "podman/app", "1"))
    })),
    {
      name: "podman pushes the image to another repository, and mounts its layers",
      run: async () => {
        const copied = named(registry.url, "podman/copied", "1")
        await pull(reference)
        await podman("tag", reference, copied)
        const mounts = await mountsOf(context, () => podman("push", http, copied))
        await pull(copied)
        assert.ok(mounts > 0, "nothing was mounted")
        return `${mounts} mounts`
      }
    },
    {
      name: "podman pushes layers in zstd, pulls them, and lists tags",
      run: async () => {
        const zstd = named(registry.url, "podman/zstd", "1")
        const fresh = makeImage("podman zstd", [makeLayer("podman zstd", 500_000)])
        await podman("load", "--input", writeDockerArchive(join(home, "zstd.tar"), fresh, zstd))
        await podman("push", http, "--format", "oci", "--compression-format", "zstd", zstd)
        const { layers } = await manifestOf(registry.url, "podman/zstd", "1")
        assert.ok(
          layers.every(({ mediaType }) => mediaType.endsWith("+zstd")),
          JSON.stringify(layers)
        )
        await pull(zstd, fresh)
        const listed = await podman(
          "search",
          http,
          "--list-tags",
          named(registry.url, "podman/zstd", "1").slice(0, -2)
        )
        assert.match(listed, /podman\/zstd\s+1$/m)
      }
    }
  ]
}

const multiArch = (context: Context, podman: Command, buildah: Command): ReadonlyArray<Check> => {
  const { registry, repositories } = context
  const home = homeOf(context, "podman")
  const reference = named(registry.url, "buildah/multi", "1")
  repositories.add("buildah/multi")
  return [
    {
      name: "buildah builds images of two architectures, and pushes their index",
      run: async () => {
        writeFileSync(join(home, "file"), makeLayer("buildah", 300_000).bytes)
        await buildah("manifest", "create", "multi")
        for (const arch of ["amd64", "arm64"]) {
          const container = (await buildah("from", "--arch", arch, "scratch")).trim()
          await buildah("copy", container, "file", `/${arch}`)
          await buildah("commit", "--rm", "--manifest", "multi", container)
        }
        await buildah("manifest", "push", http, "--all", "multi", `docker://${reference}`)
      }
    },
    ...registry.replicas.map(({ name, url }) => ({
      name: `podman pulls either architecture through the ${name}`,
      run: async () => {
        await podman("rmi", "--all", "--force")
        for (const arch of ["amd64", "arm64"]) {
          const from = named(url, "buildah/multi", "1")
          await podman("pull", http, "--arch", arch, from)
          const found = await podman("image", "inspect", "--format", "{{.Architecture}}", from)
          assert.equal(found.trim(), arch)
        }
      }
    }))
  ]
}

const loginClient = (name: Name, run: Command, archive: () => string): LoginClient => ({
  name,
  login: (host, password) => run("login", http, "--username", user.name, "--password", password, host),
  logout: (host) => run("logout", host),
  push: async (host, repository) => {
    await run("pull", `docker-archive:${archive()}`)
    await run("push", http, "localhost/login:1", `docker://${host}/${repository}:1`)
  },
  // Otherwise buildah does not ask for what it has. podman does, and knows no such flag.
  pull: (host, repository) =>
    run(
      "pull",
      http,
      ...(name === "buildah" ? ["--policy", "always"] : []),
      `docker://${host}/${repository}:1`
    )
})

export const suite = (context: Context): Suite => {
  const home = homeOf(context, "podman")
  const podman = commandOf(context, "podman")
  const buildah = commandOf(context, "buildah")
  const small = makeImage("podman login", [makeLayer("podman login", 5_000)])
  const archive = () => writeDockerArchive(join(home, "login.tar"), small, "localhost/login:1")
  return {
    prepare: async () => {
      if (process.getuid?.() !== 0) throw new Skipped("podman needs root here")
      write(context, home)
      await podman("info")
    },
    checks: [
      ...pushesAndPulls(context, podman),
      ...multiArch(context, podman, buildah),
      ...loginChecks(loginClient("podman", podman, archive), context),
      ...loginChecks(loginClient("buildah", buildah, archive), context)
    ]
  }
}
