/** Finds the repository's files, from the sources here and from their compiled copies in `.out/` alike. */
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"

const findRoot = (folder: string): string => {
  if (existsSync(join(folder, "package.json"))) return folder
  const parent = dirname(folder)
  if (parent === folder) throw new Error(`No package.json above ${import.meta.dirname}.`)
  return findRoot(parent)
}

/** The repository's own folder, an absolute path. */
export const root: string = findRoot(import.meta.dirname)

/** Returns the absolute path of a file of the repository. */
export const fileAt = (path: string): string => join(root, path)
