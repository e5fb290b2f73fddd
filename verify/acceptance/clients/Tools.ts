/** The clients themselves, from Debian's packages: unpacked into the cache folder, installed nowhere. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { libraryEnv, packageFolder, unpack } from "../servers/packages.mjs"
import { Missing, which } from "../servers/processes.mjs"

const root = (cache) => packageFolder(cache, "clients")

export const install = (cache) => unpack(["skopeo", "containerd", "runc", "docker.io"], root(cache))

/** apt downloads nothing that the system has, which is then on PATH. */
const locate = (cache, program) => {
  const path = ["usr/bin", "usr/sbin"].map((bin) => join(root(cache), bin, program)).find(existsSync)
  const found = path ?? which(program)
  if (!found) throw new Missing(`${program}: neither in ${root(cache)}, which may be removed, nor on PATH.`)
  return found
}

/**
 * Where the clients are, and the environment they run in: homes, caches and temporary files below `folder`. skopeo puts
 * its cache into /var/lib when it is root, unless it is told that it is not.
 */
export const findTools = (cache, folder) => {
  const at = (name) => {
    mkdirSync(join(folder, name), { recursive: true })
    return join(folder, name)
  }
  const policy = join(at("etc"), "policy.json")
  writeFileSync(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }))
  const registries = join(at("etc"), "registries.conf")
  writeFileSync(registries, "")
  const bins = ["usr/bin", "usr/sbin"].map((bin) => join(root(cache), bin))
  return {
    ...Object.fromEntries(
      ["skopeo", "containerd", "ctr", "dockerd", "docker"].map((program) => [program, locate(cache, program)])
    ),
    policy,
    env: {
      ...libraryEnv(root(cache)),
      PATH: [...bins, process.env.PATH].join(":"),
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
