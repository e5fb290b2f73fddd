/** `artifact-gc history`: the sweeps of the last months. */
import { Clock, Duration, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { CollectorDatabase, type HistoryEntry } from "../database/Database.ts"
import { printable } from "../domain/printable.ts"
import { spelledOut } from "../domain/shortDuration.ts"
import { endedOf } from "../status/Read.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"
import { watchFlag, watching } from "./Watch.ts"

/** A time ago or an instant, in milliseconds before `now` or since the epoch. */
const Since = Schema.String.check(
  Schema.makeFilter((text: string) =>
    sinceOf(text, 0) === null
      ? 'Expected a time ago such as "7 days", or an instant such as 2026-11-30T12:00:00Z'
      : undefined
  )
)

/** Defines the command `artifact-gc history`. */
export const command = Command.make(
  "history",
  {
    since: Flag.String("since").pipe(
      Flag.withMetavar("time"),
      Flag.withSchema(Since),
      Flag.withDescription(
        'Sweeps that ended in this time, such as "7 days", or since an instant such as 2026-11-30T12:00:00Z (default: all that are kept, see GC_HISTORY)'
      ),
      Flag.optional
    ),
    limit: Flag.Int("limit").pipe(
      Flag.withMetavar("number"),
      Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20_000 }))),
      Flag.withDescription("At most so many, the newest (default 50; with --since all)"),
      Flag.optional
    ),
    watch: watchFlag,
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ json, limit, since, watch, ...given }) {
    const config = yield* configuration(given)
    const wanted: Wanted = {
      since: Option.getOrNull(since),
      limit: Option.getOrElse(limit, () => (Option.isSome(since) ? Number.MAX_SAFE_INTEGER : usual))
    }
    yield* withServices(config, watch ? watching((now) => shown(wanted, now, json)) : show(wanted, json))
  })
).pipe(
  Command.withDescription(
    "List the sweeps of all collectors of this catalogue, the newest first. --json prints each with its whole report"
  ),
  Command.withShortDescription("List the sweeps of the last months"),
  Command.withExamples([
    { command: "artifact-gc history --since='7 days'", description: "The last week" },
    {
      command: "artifact-gc history --limit=1 --json | jq .report",
      description: "The whole report of the last sweep"
    }
  ])
)

interface Wanted {
  readonly since: string | null
  readonly limit: number
}

/** What fits on a screen. */
const usual = 50

/** What one statement reads: about a megabyte of reports. */
const pageMax = 500

/** Returns the instant, or null if the text is none. */
function sinceOf(text: string, now: number): number | null {
  const ago = Duration.fromInput(spelledOut(text) as Duration.Input)
  if (Option.isSome(ago)) return now - Duration.toMillis(ago.value)
  return /^\d{4}-\d\d-\d\d(T|$)/.test(text) && !Number.isNaN(Date.parse(text)) ? Date.parse(text) : null
}

const show = Effect.fnUntraced(function* (wanted: Wanted, json: boolean) {
  yield* Print.text(yield* shown(wanted, yield* Clock.currentTimeMillis, json))
})

const shown = Effect.fnUntraced(function* ({ limit, since }: Wanted, now: number, json: boolean) {
  const { history } = yield* CollectorDatabase
  const from = since === null ? 0 : (sinceOf(since, now) ?? 0)
  const found: Array<HistoryEntry> = []
  while (found.length < limit) {
    const wanted = Math.min(pageMax, limit - found.length)
    const page = yield* history.page(from, found.at(-1)?.id ?? null, wanted)
    found.push(...page)
    if (page.length < wanted) break
  }
  if (json) return found.map((entry) => JSON.stringify(endedOf(entry))).join("\n")
  return found.length === 0 ? "No sweep has ended in this time." : tableOf(found)
})

const tableOf = (entries: ReadonlyArray<HistoryEntry>): string =>
  Text.table([
    ["ended", "took", "deleted", "size", "failed", "outcome", "collector"],
    ...entries.map((entry) => {
      const { collector, endedAt, outcome, report } = endedOf(entry)
      const totals = report?.totals
      return [
        endedAt,
        Text.span(entry.endedAt - entry.startedAt),
        totals === undefined ? "?" : Text.count(totals.deleted),
        totals === undefined ? "?" : Text.bytes(totals.bytes),
        totals === undefined ? "?" : Text.count(totals.failed),
        printable(outcome),
        printable(collector)
      ]
    })
  ]).join("\n")
