/** `artifact-gc doctor`: looks at settings, database and store, and says what is wrong and how to solve it. */
import { existsSync } from "node:fs"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import type { Configuration, Read } from "../config/Config.ts"
import { sections } from "../config/settings.ts"
import { examine } from "../doctor/Examine.ts"
import { countsOf, type Finding, worstFirst } from "../doctor/Finding.ts"
import { allFlags, examined } from "./Configured.ts"
import * as DoctorText from "./DoctorText.ts"
import { Ended, type ExitCode } from "./ExitCode.ts"
import * as Print from "./Print.ts"
import { patient } from "./Services.ts"
import { jsonFlag } from "./SweepCommand.ts"
import { resultWidth } from "./Terminal.ts"

/** Defines the command `artifact-gc doctor`. */
export const command = Command.make(
  "doctor",
  {
    write: Flag.Boolean("write").pipe(
      Flag.withDescription(
        "Also write, read and delete one object of a few bytes below GC_BLOB_PREFIX, and begin and abort one upload in parts"
      ),
      Flag.withDefault(false)
    ),
    strict: Flag.Boolean("strict").pipe(
      Flag.withDescription("Exit with 9 for warnings, too"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...allFlags
  },
  Effect.fnUntraced(function* ({ json, strict, write, ...given }) {
    const findings = yield* findingsOf(yield* examined(given), write)
    yield* json
      ? Print.json({ counts: countsOf(findings), findings })
      : Print.text(DoctorText.report(findings, write, resultWidth(process.stdout, process.env)))
    const code = codeOf(findings, strict)
    if (code !== 0) return yield* new Ended({ code })
  })
).pipe(
  Command.withDescription(
    "Look at settings, database and store, and print what is wrong, worst first, each with what to paste. Writes nothing in the database, and in the store only with --write"
  ),
  Command.withShortDescription("Find what is wrong with settings, database and store"),
  Command.withExamples([
    { command: "artifact-gc doctor", description: "Before the first sweep" },
    {
      command: "artifact-gc doctor --write --strict",
      description: "In a pipeline: also write, and fail on warnings"
    }
  ])
)

const findingsOf = ({ configuration, problems }: Read, write: boolean) => {
  const refused = problems.map(refusalOf)
  if (configuration === null || problems.some(concernsPlace)) {
    return Effect.succeed([...refused, ...(refused.length === 0 ? [] : [placeUnknown])])
  }
  const found = isUntouched(configuration)
    ? Effect.succeed([untouched(configuration)])
    : examine(configuration, patient(configuration), write)
  return Effect.map(found, (findings) => worstFirst([...refused, ...findings]))
}

const refusalOf = (problem: string): Finding => {
  const [name = ""] = problem.split(":")
  return {
    severity: "problem",
    check: "settings",
    title: `${name} is refused`,
    seen: problem,
    fix: null,
    docs: "docs/configuration.md"
  }
}

const placeNames: ReadonlySet<string> = new Set(
  [...Object.values(sections.Catalogue), ...Object.values(sections.Store)].map(({ env }) => env)
)

/** Defaults in place of these would have another database or another store examined. */
const concernsPlace = (problem: string): boolean =>
  placeNames.has((problem.split(":")[0] ?? "").replace(/_FILE$/, ""))

const placeUnknown: Finding = {
  severity: "note",
  check: "settings",
  title: "Database and store were not asked",
  seen: "The settings that name them are refused, and their defaults would name others.",
  fix: "artifact-gc doctor    # again, when the settings are right",
  docs: "docs/doctor.md"
}

/** The embedded database would be created by looking at it. */
const isUntouched = ({ place }: Configuration): boolean =>
  place._tag === "Embedded" && !existsSync(place.directory)

const untouched = ({ place }: Configuration): Finding => ({
  severity: "note",
  check: "connection",
  title: "There is no database yet",
  seen: `Neither DATABASE_URL nor a store is configured, and ${place._tag === "Embedded" ? place.directory : ""} does not exist. The first command that needs it creates an embedded PostgreSQL there. Nothing was created now.`,
  fix: "artifact-gc serve    # creates it; to use your own: DATABASE_URL=… S3_BUCKET=…",
  docs: "docs/operations.md#first-run-on-your-own-catalogue"
})

/** Returns the exit code: of the first thing that keeps a sweep from beginning. */
const codeOf = (findings: ReadonlyArray<Finding>, strict: boolean): ExitCode => {
  const problems = findings.filter(({ severity }) => severity === "problem").map(({ check }) => check)
  if (problems.includes("settings")) return 2
  if (problems.includes("connection") || problems.includes("store")) return 5
  if (problems.length > 0) return 4
  return strict && findings.some(({ severity }) => severity === "warning") ? 9 : 0
}
