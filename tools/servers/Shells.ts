/** zsh and fish, whose completions are tried, and mandoc, which judges the page of man, from Debian. */
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../Program.ts"
import { libraryEnv, packageFolder, unpack } from "./Packages.ts"
import { run } from "./Processes.ts"

const unpacked = (cache: string): string => packageFolder(cache, "shells")

/** Fetches the programs into the cache folder. Does nothing if the folder has them. */
export const install = (cache: string): Promise<void> => unpack(["zsh", "fish", "mandoc"], unpacked(cache))

const foldersBelow = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))

const namesIn = (folder: string): ReadonlyArray<string> => (existsSync(folder) ? readdirSync(folder) : [])

/** Returns the folders with modules of zsh below a root. */
const modulesBelow = (root: string): ReadonlyArray<string> =>
  namesIn(join(root, "usr/lib"))
    .filter((name) => name.endsWith("-linux-gnu"))
    .map((name) => join(root, "usr/lib", name, "zsh"))
    .flatMap((folder) => namesIn(folder).map((version) => join(folder, version)))

/** Where the parts of the shells are. */
export interface Shells {
  readonly zsh: string
  /** Modules of zsh. */
  readonly modules: string
  /** Folders with functions of zsh. */
  readonly functions: ReadonlyArray<string>
  readonly fish: string
  readonly fishFunctions: string
  readonly mandoc: string
  /** Runs one of the programs with its libraries, and returns what it printed. */
  readonly run: (program: string, args: ReadonlyArray<string>) => Promise<string>
}

/** Returns the programs. What the system has is not unpacked. */
export const shells = (cache: string): Shells => {
  const root = unpacked(cache)
  const roots = [root, "/"]
  const place = (path: string): string => {
    const found = roots.map((folder) => join(folder, path)).find((file) => existsSync(file))
    if (found === undefined) throw new Missing(`${path} is missing. Run: npm run servers -- install`)
    return found
  }
  const [modules] = roots.flatMap(modulesBelow)
  if (modules === undefined) throw new Missing("zsh is missing. Run: npm run servers -- install")
  return {
    zsh: place("bin/zsh"),
    modules,
    functions: foldersBelow(place("usr/share/zsh/functions")),
    fish: place("usr/bin/fish"),
    fishFunctions: place("usr/share/fish/functions"),
    mandoc: place("usr/bin/mandoc"),
    run: (program, args) => run(program, args, { env: { ...libraryEnv(root), TERM: "xterm", HOME: root } })
  }
}
