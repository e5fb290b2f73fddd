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

/** Where the parts of a shell lie that are not in the system's own folders. */
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

/** Returns the unpacked programs. */
export const shells = (cache: string): Shells => {
  const root = unpacked(cache)
  if (!existsSync(root)) throw new Missing("zsh and fish are missing. Run: npm run servers -- install")
  const modules = foldersBelow(join(root, "usr/lib")).find((path) => /\/zsh\/[\d.]+$/.test(path))
  if (modules === undefined) throw new Missing(`No modules of zsh are below ${root}.`)
  return {
    zsh: join(root, "bin/zsh"),
    modules,
    functions: foldersBelow(join(root, "usr/share/zsh/functions")),
    fish: join(root, "usr/bin/fish"),
    fishFunctions: join(root, "usr/share/fish/functions"),
    mandoc: join(root, "usr/bin/mandoc"),
    run: (program, args) => run(program, args, { env: { ...libraryEnv(root), TERM: "xterm", HOME: root } })
  }
}
