/** `artifact-gc retention`: shows which tags the rules keep, and which a sweep would remove. */
import { Clock, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { printable } from "../domain/printable.ts"
import { RegistryDatabase, type RetentionState } from "../oci/database/RegistryDatabase.ts"
import type { Decision } from "../oci/retention/Decide.ts"
import { canonical, Retention, type RetentionRules, rulesFor } from "../oci/retention/RetentionRules.ts"
import { forEachRepository, type JudgedRepository, judgingNow } from "../oci/retention/Tags.ts"
import type { SweepSettings } from "../sweep/Settings.ts"
import { configuration, retentionFlags, withServices } from "./Configured.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

/** Defines the command `artifact-gc retention`. */
export const command = Command.make(
  "retention",
  {
    repository: Flag.String("repository").pipe(
      Flag.withMetavar("name"),
      Flag.withDescription("Only this repository (default: all that a policy names)"),
      Flag.optional
    ),
    json: jsonFlag,
    ...retentionFlags
  },
  Effect.fnUntraced(function* ({ json, repository, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, show(config.sweep, Option.getOrUndefined(repository), json))
  })
).pipe(
  Command.withDescription(
    "Show each tag that retention rules are about: which rule keeps it, or that a sweep would remove it now. Changes nothing. --json prints a line for each tag"
  ),
  Command.withShortDescription("Show which tags the retention rules keep"),
  Command.withExamples([
    { command: "artifact-gc retention --repository=ci/app", description: "See the tags of one repository" },
    {
      command: "artifact-gc retention --json | jq -r 'select(.kept | not) | .tag'",
      description: "For a script"
    }
  ])
)

const show = Effect.fnUntraced(function* (settings: SweepSettings, only: string | undefined, json: boolean) {
  const rules = yield* yield* Retention
  const state = yield* (yield* RegistryDatabase).retention.state
  const absent = absentOf(rules, state, only)
  if (rules === null || state === null || absent !== null)
    return yield* json ? Effect.void : Print.text(absent ?? "")
  const found = { kept: 0, removed: 0 }
  const { pullsSince } = state
  const options = { ...(yield* judgingNow(settings)), pullsSince, only, mayContinue: Effect.succeed(true) }
  yield* forEachRepository(rules, options, (judged) => {
    for (const { keptBy } of judged.decisions) found[keptBy === null ? "removed" : "kept"] += 1
    return json
      ? Effect.forEach(judged.decisions, (decision) => Print.json(encode(decision)), { discard: true })
      : Print.text(textOf(judged))
  })
  if (json) return
  yield* Print.text(summaryOf(rules, state, found, yield* Clock.currentTimeMillis))
})

/** Says why no tag is shown; null if tags are. */
const absentOf = (
  rules: RetentionRules | null,
  state: RetentionState | null,
  only: string | undefined
): string | null => {
  if (rules === null) return "There are no retention rules: set REGISTRY_RETENTION_FILE. Every tag is kept."
  if (state === null)
    return "This catalogue has no registry, and no tags. `artifact-gc migrate --registry` creates one."
  if (only !== undefined && rulesFor(rules, only) === null)
    return `No policy names ${only}. All its tags are kept.`
  return null
}

const at = (instant: number | null): string =>
  instant === null ? "unknown" : new Date(instant).toISOString()

const orNull = (instant: number | null): string | null =>
  instant === null ? null : new Date(instant).toISOString()

const encode = ({ keptBy, reason, tag }: Decision) => ({
  repository: tag.repository,
  tag: tag.name,
  digest: tag.digest,
  pushedAt: orNull(tag.pushedAt),
  pulledAt: orNull(tag.pulledAt),
  kept: keptBy !== null,
  reason,
  by: keptBy
})

const textOf = ({ decisions, repository, undated }: JudgedRepository): string => {
  const unknown = new Set(undated.map(({ name }) => name))
  const rows = decisions.map(({ keptBy, tag }) => [
    `  ${tag.name}`,
    keptBy === null ? "would be removed" : "kept",
    unknown.has(tag.name) ? "unknown" : at(tag.pushedAt),
    at(tag.pulledAt),
    keptBy ?? ""
  ])
  const lines = columns([["  tag", "", "pushed", "pulled", "by"], ...rows])
  return [printable(repository), ...lines].join("\n")
}

/** Aligns columns to the left. */
const columns = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()
  )
}

const summaryOf = (
  rules: RetentionRules,
  state: RetentionState,
  { kept, removed }: { readonly kept: number; readonly removed: number },
  now: number
): string => {
  const isNew = removed > 0 && state.accepted !== canonical(rules)
  const needsPulls = rules.policies.some(({ keep }) =>
    keep.some(({ pulledWithin }) => pulledWithin !== undefined)
  )
  const pulls =
    state.pullsSince === null
      ? "No pull was recorded yet. The first pull that a `serve` of this version answers begins the record."
      : `Pulls are recorded since ${at(state.pullsSince)} (${Text.span(now - state.pullsSince)}).`
  return [
    `${Text.many(kept + removed, "tag")}: ${Text.count(kept)} kept, ${Text.count(removed)} would be removed. Nothing was changed.`,
    ...(needsPulls ? [pulls] : []),
    ...(isNew
      ? [
          "No tag was removed by these rules yet. The first sweep that would remove one opens the breaker, if the rules keep less than those before. `artifact-gc breaker --confirm retention` then allows it."
        ]
      : [])
  ].join("\n")
}
