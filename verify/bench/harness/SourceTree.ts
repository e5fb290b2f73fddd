/** The source tree that this was built from. */
import { execFileSync } from "node:child_process"
import { fileURLToPath, pathToFileURL } from "node:url"
import { root as folder } from "../../../tools/Repository.ts"

/** The repository's folder, with a slash at its end. */
export const root = pathToFileURL(`${folder}/`)

/** Returns the commit, and whether the measured files differ from it. */
export const commit = (): string => {
  const git = (...args: ReadonlyArray<string>) =>
    execFileSync("git", args, {
      cwd: fileURLToPath(root),
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"]
    }).trim()
  try {
    const changes = git("status", "--porcelain", "--", "src", "package-lock.json")
    return `${git("rev-parse", "--short=12", "HEAD")}${changes === "" ? "" : " with changes"}`
  } catch {
    return "unknown"
  }
}
