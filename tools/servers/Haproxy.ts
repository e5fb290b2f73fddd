/** HAProxy from Debian's packages: the balancer of the compose file. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../Program.ts"
import { libraryEnv, packageFolder, unpack } from "./Packages.ts"

const unpacked = (cache: string): string => packageFolder(cache, "haproxy")

const program = "usr/sbin/haproxy"

/** A program, and the environment in which it finds its libraries. */
export interface Haproxy {
  readonly path: string
  readonly env: NodeJS.ProcessEnv
}

/** Returns the program. Prefers the system's own installation. */
export const haproxy = (cache: string): Haproxy => {
  const root = ["/", unpacked(cache)].find((folder) => existsSync(join(folder, program)))
  if (root === undefined) throw new Missing("HAProxy is missing. Run: npm run test:deploy")
  return { path: join(root, program), env: root === "/" ? process.env : libraryEnv(root) }
}

/** Fetches HAProxy into the cache folder. Does nothing if the system or the folder has it. */
export const install = async (cache: string): Promise<void> => {
  if (!existsSync(join("/", program))) await unpack(["haproxy"], unpacked(cache))
}
