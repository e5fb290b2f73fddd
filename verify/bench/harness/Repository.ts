/** The repository this was built from. */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"

/** This file runs as .out/verify/bench/harness/Repository.js. */
export const root = new URL("../../../../", import.meta.url)

/** The commit, and whether what is measured differs from it. */
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
