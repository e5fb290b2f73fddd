/** Debian's docker-compose, version 1, which needs no build. It does not know the `name` of a compose file and gets it aside. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../../tools/Program.ts"
import { packageFolder, unpack } from "../../tools/servers/Packages.ts"
import { capture, type Output } from "../../tools/servers/Processes.ts"
import { deployed } from "./Tools.ts"

const unpacked = (cache: string): string => packageFolder(cache, "docker-compose")

const python = "/usr/bin/python3"

/** Fetches docker-compose into the cache folder. Does nothing if the folder has it. */
export const install = (cache: string): Promise<void> => unpack(["docker-compose"], unpacked(cache))

/** Runs a command of docker-compose. */
export type Compose = (...args: ReadonlyArray<string>) => Promise<Output>

/**
 * Returns docker-compose for the compose file of deploy/, with a file that overrides parts of it. Its project has the name
 * that the file gives it.
 */
export const compose = (cache: string, host: string, folder: string, override: unknown): Compose => {
  if (!existsSync(python)) throw new Missing(`${python} is missing: install Debian's python3.`)
  const text = readFileSync(deployed("compose", "compose.yaml"), "utf8")
  const [line, name] = /^name: (.+)\n/m.exec(text) ?? []
  if (line === undefined || name === undefined) throw new Error("the compose file has no name")
  const file = join(folder, "compose.yaml")
  writeFileSync(file, text.replace(line, ""))
  const other = join(folder, "override.yaml")
  writeFileSync(other, JSON.stringify(override))
  const root = unpacked(cache)
  const fixed = [
    ...[join(root, "usr/bin/docker-compose"), "--ansi", "never", "--project-name", name],
    ...["--project-directory", deployed("compose"), "--file", file, "--file", other]
  ]
  return (...args) =>
    capture(python, [...fixed, ...args], {
      env: {
        ...process.env,
        DOCKER_HOST: host,
        PYTHONPATH: join(root, "usr/lib/python3/dist-packages"),
        PYTHONDONTWRITEBYTECODE: "1"
      }
    })
}
