/** The test files of each lane, by name. */
import { readdirSync } from "node:fs"
import { fileAt } from "./Repository.ts"

/** Files that run on real servers alone. */
export const onRealServers = /\.real\.test\.ts$/

/** A reason to leave files out of `npm run test:fast`. `npm test` runs them. */
export interface LeftOut {
  readonly name: RegExp
  readonly why: string
}

/** What `npm run test:fast` leaves out. */
export const slow: ReadonlyArray<LeftOut> = [
  { name: /\.postgres\.test\.ts$/, why: "start PostgreSQL" },
  { name: /\/(Crash|Faults|Mutants|uploads\/Races)\.test\.ts$/, why: "try every fault at every step" }
]

/** Returns the test files whose path matches, relative to the repository. */
export const testFiles = (name: RegExp): ReadonlyArray<string> =>
  readdirSync(fileAt("test"), { recursive: true, encoding: "utf8" })
    .map((path) => `test/${path}`)
    .filter((path) => path.endsWith(".test.ts") && name.test(path))
