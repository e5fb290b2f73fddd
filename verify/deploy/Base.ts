/**
 * A base image without a registry of images: Node and npm, a shell, and the libraries that these load, from this machine's
 * own files. The Dockerfile asks no more of its base.
 */
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { find, writeRoot } from "./Roots.ts"

/** Returns the Node that the image gets: Node 24 if .ci/run has fetched it, or the one that runs this. */
const nodeOf = (cache: string): string => {
  const fetched = join(cache, "node24", "node_modules", `node-linux-${process.arch}`, "bin/node")
  return existsSync(fetched) ? fetched : process.execPath
}

/** Writes the base as a tar, which `docker import` reads. Returns the file. */
export const writeBase = (cache: string, folder: string): Promise<string> =>
  writeRoot(folder, "base", {
    programs: {
      [nodeOf(cache)]: "/usr/local/bin/node",
      [find("sh")]: "/bin/sh",
      [find("env")]: "/usr/bin/env"
    },
    files: { [dirname(dirname(find("npm")))]: "/usr/local/lib/node_modules/npm" },
    texts: {
      "/usr/local/bin/npm": '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n'
    }
  })
