/** Checks that need neither database nor store: settings that are odd together, and the disk. */
import { resolve } from "node:path"
import { Duration, Effect } from "effect"
import type { Configuration } from "../config/Config.ts"
import { type Space, spaceAt } from "../platform/freeSpace.ts"
import type { Check, Group } from "./Check.ts"
import { type Found, ok } from "./Finding.ts"

/** Returns the checks of this host. */
export const localGroup = (configuration: Configuration): Group => ({
  name: "host",
  gate: null,
  checks: [together(configuration), disk(configuration)]
})

const together = (configuration: Configuration): Check => ({
  name: "settings",
  about: "Settings are valid, and none is odd beside another.",
  docs: "docs/configuration.md",
  run: Effect.sync(() => {
    const found = oddities(configuration)
    return found.length > 0 ? found : [ok("Settings are valid and fit together")]
  })
})

const minute = Duration.minutes(1)

const isLess = Duration.isLessThan

const isLocal = (host: string): boolean => ["127.0.0.1", "::1", "[::1]", "localhost"].includes(host)

/** Returns what is odd about valid settings. */
export const oddities = (configuration: Configuration): ReadonlyArray<Found> => {
  const { place, sweep, window } = configuration
  const found: Array<Found> = []
  const add = (title: string, seen: string, fix: string, severity: Found["severity"] = "warning") =>
    found.push({ severity, title, seen, fix })
  if (isLess(sweep.grace, Duration.times(minute, 10))) {
    add(
      "GC_GRACE is very short",
      `${Duration.format(sweep.grace)}. A blob is condemned if its reference comes later than that after its upload.`,
      "GC_GRACE='1 hour'"
    )
  }
  if (isLess(sweep.grace, Duration.times(sweep.clockTolerance, 2))) {
    add(
      "GC_CLOCK_TOLERANCE is as long as GC_GRACE",
      `Clocks may differ by ${Duration.format(sweep.clockTolerance)}, and a blob waits ${Duration.format(sweep.grace)}. A wrong clock could end the wait.`,
      "GC_CLOCK_TOLERANCE='1 minute'"
    )
  }
  if (sweep.breakerPercent >= 100) {
    add(
      "The breaker never trips",
      "GC_BREAKER_PERCENT is 100, so a mistake may delete everything without a question.",
      "GC_BREAKER_PERCENT=20"
    )
  }
  if (sweep.mixedSettings === "allow") {
    add(
      "Collectors may have different settings",
      "GC_MIXED_SETTINGS is allow. The shortest of all waits applies.",
      "GC_MIXED_SETTINGS=refuse"
    )
  }
  if (window !== undefined && isLess(sweep.maxDuration, Duration.times(minute, 5))) {
    add(
      "Sweeps end long before their window does",
      `GC_WINDOW is set, and GC_SWEEP_MAX_DURATION is ${Duration.format(sweep.maxDuration)}.`,
      "GC_SWEEP_MAX_DURATION='1 hour'",
      "note"
    )
  }
  return [...found, ...odditiesOfPlace(place)]
}

const odditiesOfPlace = (place: Configuration["place"]): ReadonlyArray<Found> => {
  if (place._tag === "Embedded") {
    return [
      {
        severity: "note",
        title: "The embedded database and files are used",
        seen: `Below ${place.directory}. They serve one service on one host, and their backup is yours.`,
        fix: "DATABASE_URL=postgres://user:password@host:5432/database S3_BUCKET=bucket"
      }
    ]
  }
  const { store } = place
  if (store._tag === "Files") {
    return [
      {
        severity: "note",
        title: "Objects are files beside an external database",
        seen: `All collectors and writers must see the same directory ${store.directory}.`
      }
    ]
  }
  const endpoint = store.endpoint === undefined ? null : new URL(store.endpoint)
  return endpoint === null || endpoint.protocol === "https:" || isLocal(endpoint.hostname)
    ? []
    : [
        {
          severity: "warning",
          title: "The connection to the store is not encrypted",
          seen: `S3_ENDPOINT is ${endpoint.origin}. Objects can be read and changed on the way; the secret key is not sent.`,
          fix: `S3_ENDPOINT=https://${endpoint.host}`
        }
      ]
}

/** PostgreSQL stops when its disk is full. */
const freeShareMin = 0.1
const freeShareLeast = 0.02
const freeBytesMin = 5 * 1024 ** 3
const gib = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`

/** Returns what the free space of a directory's disk means. */
export const foundOfSpace = (
  directory: string,
  { freeBytes, freeInodes, totalBytes }: Space
): ReadonlyArray<Found> => {
  const share = Math.min(freeBytes / Math.max(1, totalBytes), freeInodes)
  const seen = `${gib(freeBytes)} of ${gib(totalBytes)} and ${Math.round(100 * freeInodes)} % of the inodes are free where ${directory} is.`
  if (share >= freeShareMin || (freeBytes >= freeBytesMin && freeInodes >= freeShareMin)) {
    return [ok("The disk has space", seen)]
  }
  return [
    {
      severity: share < freeShareLeast ? "problem" : "warning",
      title: "The disk is almost full",
      seen: `${seen} PostgreSQL stops on a full disk, and uploads fail.`,
      fix: "artifact-gc sweep    # frees what is due; then give the disk more space"
    }
  ]
}

/** Returns the directories in which this host keeps data. */
const directoriesOf = ({ place }: Configuration): ReadonlyArray<string> =>
  place._tag === "Embedded" ? [place.directory] : place.store._tag === "Files" ? [place.store.directory] : []

const disk = (configuration: Configuration): Check => ({
  name: "disk",
  about: "Free space and inodes where the embedded database and the files store keep their data.",
  docs: "docs/operations.md#memory",
  run: Effect.gen(function* () {
    const directories = directoriesOf(configuration)
    if (directories.length === 0) return [ok("This host keeps no data")]
    const found = yield* Effect.forEach(directories, (directory) =>
      Effect.map(
        Effect.tryPromise(() => spaceAt(resolve(directory))),
        (space) => foundOfSpace(directory, space)
      )
    )
    return found.flat()
  })
})
