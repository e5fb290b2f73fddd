/** The clients themselves, from Debian's packages: unpacked into the cache folder, and not installed. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../../../tools/Program.ts"
import { libraryEnv, packageFolder, unpack } from "../../../tools/servers/Packages.ts"
import { which } from "../../../tools/servers/Processes.ts"

/** The paths of the clients, and the environment that they run in. */
export interface Tools {
  readonly skopeo: string
  readonly containerd: string
  readonly ctr: string
  readonly dockerd: string
  readonly docker: string
  /** skopeo's signature policy: a file that accepts every image. */
  readonly policy: string
  readonly env: NodeJS.ProcessEnv
}

const rootOf = (cache: string): string => packageFolder(cache, "clients")

const binsOf = (cache: string): ReadonlyArray<string> =>
  ["usr/bin", "usr/sbin"].map((bin) => join(rootOf(cache), bin))

/** Fetches the clients into the cache folder. Does nothing if they are there. */
export const install = (cache: string): Promise<void> =>
  unpack(["skopeo", "containerd", "runc", "docker.io"], rootOf(cache))

/** apt does not download what the system has: such a program is on PATH. */
const locate = (cache: string, program: string): string => {
  const path = binsOf(cache)
    .map((bin) => join(bin, program))
    .find((file) => existsSync(file))
  const found = path ?? which(program)
  if (!found) throw new Missing(`${program}: neither in ${rootOf(cache)}, which may be removed, nor on PATH.`)
  return found
}

/**
 * Returns the clients. Their homes, caches and temporary files are below `folder`. As root, skopeo puts its
 * cache into /var/lib unless the environment says that it is not root.
 */
export const findTools = (cache: string, folder: string): Tools => {
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
    policy,
    env: {
      ...libraryEnv(rootOf(cache)),
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
