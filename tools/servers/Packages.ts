/**
 * Debian packages without installing them: apt resolves and downloads, dpkg unpacks into a folder. Needs no
 * root and changes nothing outside the folder, which may be cached and deleted.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Missing, messageOf } from "../Program.ts"
import { run, which } from "./Processes.ts"

/**
 * Returns the folder into which {@link unpack} puts a set of packages. Its name changes with the release,
 * because the programs are linked to that release's libraries.
 */
export const packageFolder = (cache: string, name: string): string => {
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : ""
  const codename = /^VERSION_CODENAME=(.+)$/m.exec(release)?.[1] ?? "unknown"
  return join(cache, `${name}-${codename}-${process.arch}`)
}

/** Returns the environment in which programs below `folders` find the libraries unpacked beside them. */
export const libraryEnv = (...folders: ReadonlyArray<string>): NodeJS.ProcessEnv => {
  const libs = folders.flatMap((folder) => [join(folder, "usr/lib"), join(folder, "lib")])
  const paths = libs.flatMap((lib) =>
    existsSync(lib)
      ? readdirSync(lib)
          .filter((name) => name.endsWith("-linux-gnu"))
          .flatMap((name) => [join(lib, name), join(lib, name, "ceph"), join(lib, name, "pulseaudio")])
      : []
  )
  return { ...process.env, LD_LIBRARY_PATH: paths.join(":") }
}

const download = (packages: ReadonlyArray<string>, debs: string): Promise<string> =>
  run(
    "apt-get",
    [
      ...["install", "--yes", "--no-install-recommends", "--download-only"],
      ...["-o", `Dir::Cache::archives=${debs}`],
      // Nothing is installed, so there is no need to wait for, or to hold, the system's lock.
      ...["-o", "Debug::NoLocking=1"],
      ...packages
    ],
    { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" } }
  )

/**
 * Downloads `packages` with the dependencies that this system lacks, and unpacks them. Does nothing if the
 * folder exists.
 */
export const unpack = async (packages: ReadonlyArray<string>, folder: string): Promise<void> => {
  if (existsSync(folder)) return
  if (!which("apt-get") || !which("dpkg")) {
    throw new Missing(
      `${packages.join(", ")}: this machine has no apt-get and dpkg, and these come from Debian 12's ` +
        "packages. Elsewhere start servers of your own and name them in REAL_DATABASE_URL and REAL_S3_… (see " +
        "tools/servers.ts)."
    )
  }
  const part = `${folder}.part-${process.pid}`
  const debs = join(part, "debs")
  try {
    mkdirSync(join(debs, "partial"), { recursive: true })
    await download(packages, debs).catch((first) => downloadAfterUpdate(packages, debs, first))
    for (const name of readdirSync(debs).filter((file) => file.endsWith(".deb"))) {
      await run("dpkg", ["-x", join(debs, name), join(part, "root")])
    }
    // The rename makes it all or nothing, also when two installs run at once.
    if (!existsSync(folder)) renameSync(join(part, "root"), folder)
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
}

/** Updates the package lists and downloads again: an old list names files that the archive no longer has. */
const downloadAfterUpdate = async (
  packages: ReadonlyArray<string>,
  debs: string,
  first: unknown
): Promise<string> => {
  const explain = (error: unknown) =>
    new Missing(
      `${packages.join(", ")}: apt-get cannot download them. ` +
        'Check /etc/apt/sources.list and the network, run "apt-get update" as root, and try again.\n' +
        messageOf(error)
    )
  if (process.getuid?.() !== 0) throw explain(first)
  try {
    await run("apt-get", ["update"])
    return await download(packages, debs)
  } catch (error) {
    throw explain(error)
  }
}
