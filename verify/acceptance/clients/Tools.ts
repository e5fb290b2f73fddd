/**
 * The clients themselves: from Debian's packages, unpacked into the cache folder and not installed, or built from Go modules.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Missing, messageOf } from "../../../tools/Program.ts"
import { libraryEnv, packageFolder, unpack } from "../../../tools/servers/Packages.ts"
import { which } from "../../../tools/servers/Processes.ts"
import type { Built, ProgramName } from "./Programs.ts"

/** The paths of the clients, and the environment that they run in. */
export interface Tools {
  readonly skopeo: string
  readonly containerd: string
  readonly ctr: string
  readonly dockerd: string
  readonly docker: string
  /** Returns the path of podman, or of a program that it runs. */
  readonly ofPodman: (name: "podman" | "buildah" | "conmon" | "crun") => string
  /** Returns the path of a client that is built. Fails with the error of its build. */
  readonly program: (name: ProgramName) => string
  /** skopeo's signature policy: a file that accepts every image. */
  readonly policy: string
  readonly env: NodeJS.ProcessEnv
}

const rootOf = (cache: string): string => packageFolder(cache, "clients")

const podmanRootOf = (cache: string): string => packageFolder(cache, "podman")

const binsOf = (cache: string): ReadonlyArray<string> =>
  [rootOf(cache), podmanRootOf(cache)].flatMap((root) =>
    ["usr/bin", "usr/sbin"].map((bin) => join(root, bin))
  )

/** Fetches skopeo, containerd and docker into the cache folder. Does nothing if they are there. */
export const install = (cache: string): Promise<void> =>
  unpack(["skopeo", "containerd", "runc", "docker.io"], rootOf(cache))

/** Fetches podman and buildah into the cache folder. Does nothing if they are there. */
export const installPodman = (cache: string): Promise<void> =>
  unpack(["podman", "buildah", "crun"], podmanRootOf(cache))

/** apt does not download what the system has: such a program is on PATH. */
const locate = (cache: string, program: string): string => {
  const path = binsOf(cache)
    .map((bin) => join(bin, program))
    .find((file) => existsSync(file))
  const found = path ?? which(program)
  if (!found)
    throw new Missing(`${program}: neither below ${cache} nor on PATH. Remove the folder and install again.`)
  return found
}

/**
 * Returns the clients. Their homes, caches and temporary files are below `folder`. As root, skopeo puts its
 * cache into /var/lib unless the environment says that it is not root.
 */
export const findTools = (
  cache: string,
  folder: string,
  built: ReadonlyMap<ProgramName, Built> = new Map()
): Tools => {
  const at = (name: string) => {
    mkdirSync(join(folder, name), { recursive: true })
    return join(folder, name)
  }
  const policy = join(at("etc"), "policy.json")
  writeFileSync(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }))
  const registries = join(at("etc"), "registries.conf")
  writeFileSync(registries, "")
  return {
    skopeo: locate(cache, "skopeo"),
    containerd: locate(cache, "containerd"),
    ctr: locate(cache, "ctr"),
    dockerd: locate(cache, "dockerd"),
    docker: locate(cache, "docker"),
    ofPodman: (name) => locate(cache, name),
    program: (name) => {
      const found = built.get(name)
      if (found === undefined) throw new Error(`${name}: not built in this run`)
      if ("error" in found) throw new Error(`${name} cannot be built: ${messageOf(found.error)}`)
      return found.path
    },
    policy,
    env: {
      ...libraryEnv(rootOf(cache), podmanRootOf(cache)),
      PATH: [...binsOf(cache), process.env.PATH].join(":"),
      HOME: at("home"),
      TMPDIR: at("tmp"),
      XDG_DATA_HOME: at("data"),
      XDG_RUNTIME_DIR: at("run"),
      DOCKER_CONFIG: at("docker-config"),
      CONTAINERS_REGISTRIES_CONF: registries,
      _CONTAINERS_ROOTLESS_UID: "1000"
    }
  }
}
