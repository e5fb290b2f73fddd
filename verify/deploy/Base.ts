/**
 * A base image without a registry of images: Node and npm, a shell, and the libraries that these load, from this machine's
 * own files. The Dockerfile asks no more of its base.
 */
import { cpSync, existsSync, mkdirSync, realpathSync, symlinkSync } from "node:fs"
import { dirname, join } from "node:path"
import { Missing } from "../../tools/Program.ts"
import { run, which } from "../../tools/servers/Processes.ts"

/** Returns the Node that the image gets: Node 24 if .ci/run has fetched it, or the one that runs this. */
const nodeOf = (cache: string): string => {
  const fetched = join(cache, "node24", "node_modules", `node-linux-${process.arch}`, "bin/node")
  return existsSync(fetched) ? fetched : process.execPath
}

const find = (program: string): string => {
  const path = which(program)
  if (path === undefined) throw new Missing(`${program} is not on PATH.`)
  return realpathSync(path)
}

/** Writes the base as a tar, which `docker import` reads. Returns the file. */
export const writeBase = async (cache: string, folder: string): Promise<string> => {
  const base = join(folder, "base")
  const put = (from: string, to: string) => {
    mkdirSync(dirname(join(base, to)), { recursive: true })
    cpSync(realpathSync(from), join(base, to), { recursive: true })
  }
  const programs = {
    [nodeOf(cache)]: "/usr/local/bin/node",
    [find("sh")]: "/bin/sh",
    [find("env")]: "/usr/bin/env"
  }
  for (const [from, to] of Object.entries(programs)) {
    put(from, to)
    const libraries = (await run("ldd", [from])).match(/\/\S+/g) ?? []
    for (const library of libraries) put(library, library)
  }
  put(dirname(dirname(find("npm"))), "/usr/local/lib/node_modules/npm")
  symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(base, "usr/local/bin/npm"))
  mkdirSync(join(base, "tmp"))
  const file = join(folder, "base.tar")
  await run("tar", ["--directory", base, "--create", "--file", file, "."])
  return file
}
