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

const named = (...names: ReadonlyArray<string>): RegExp => new RegExp(`/(${names.join("|")})\\.test\\.ts$`)

/**
 * What `npm run test:fast` leaves out. Most of the others take milliseconds, and all of them together less
 * than 20 seconds on two cores.
 */
export const slow: ReadonlyArray<LeftOut> = [
  { name: /\.postgres\.test\.ts$/, why: "start PostgreSQL" },
  {
    name: named("Crash", "Faults", "uploads/Races", "Mutants", "Simulation", "TimeTravel"),
    why: "try every fault at every step, or hundreds of seeds"
  },
  {
    name: named(
      ...[
        "storage/Files",
        "files/KeyPath",
        "s3/Time",
        "s3/Tls",
        "s3/Upload",
        "cli/PlantedSecrets",
        "http/Bodies",
        "uploads/Slow"
      ],
      ...["phases/Watched", "phases/Leftovers", "phases/LeftoverRanges", "phases/Multiparts", "audit/Merge"],
      ...["repositories/Sweeps", "incidents/Writers", "incidents/Stores", "incidents/Deletes"],
      ...["http/Torn", "docs/Snippets", "docs/Surface"]
    ),
    why: "take one second to seven: on disk, in real time, or of many steps"
  }
]

/** Returns the test files whose path matches, relative to the repository. */
export const testFiles = (name: RegExp): ReadonlyArray<string> =>
  ["test", "examples"]
    .flatMap((folder) =>
      readdirSync(fileAt(folder), { recursive: true, encoding: "utf8" }).map((path) => `${folder}/${path}`)
    )
    .filter((path) => path.endsWith(".test.ts") && name.test(path))

/**
 * Files that take ten seconds or more, longest first. They begin first: one that begins last keeps one worker
 * busy while the others have nothing left to do. Vitest itself knows durations only of runs on the same
 * machine.
 */
const longest = [
  ...["cli/Serve", "database/Locks", "cli/Binary", "database/UnannouncedWriters", "sweep/Crash"],
  ...["uploads/Faults", "cli/External", "cli/Guarding", "embedded-postgres/Embedded", "simulate/Mutants"],
  ...["simulate/Simulation", "repositories/Faults", "database/Guard", "database/Postgres", "database/Watch"]
].map((name) => new RegExp(`/${name}\\.(postgres\\.)?test\\.ts$`))

/** Returns the order in which a file begins: smaller begins first. */
export const rankOf = (path: string): number => {
  const rank = longest.findIndex((name) => name.test(path))
  return rank === -1 ? longest.length : rank
}
