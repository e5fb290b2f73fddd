/**
 * The guards of a sweep as checks, and what waits for a person. Each guard is asked as in a dry run, which writes nothing, and
 * here also after another one refused.
 */
import { Clock, Effect, Result } from "effect"
import { CollectorDatabase, isOpen } from "../database/Database.ts"
import type { Storage } from "../storage/Storage.ts"
import { ageGuard } from "../sweep/preflight/AgeGuard.ts"
import { bindingGuard } from "../sweep/preflight/BindingGuard.ts"
import { clockGuard } from "../sweep/preflight/ClockGuard.ts"
import { emptyMemory, type GuardContext } from "../sweep/preflight/Guard.ts"
import { keysGuard } from "../sweep/preflight/KeysGuard.ts"
import { pauseGuard } from "../sweep/preflight/PauseGuard.ts"
import { referencesGuard } from "../sweep/preflight/ReferencesGuard.ts"
import { schemaGuard } from "../sweep/preflight/SchemaGuard.ts"
import { settingsGuard } from "../sweep/preflight/SettingsGuard.ts"
import { writersGuard } from "../sweep/preflight/WritersGuard.ts"
import type { SweepSettings } from "../sweep/Settings.ts"
import type { Check, Group } from "./Check.ts"
import { type Found, ok } from "./Finding.ts"
import { foundOf } from "./Refusals.ts"

const guards = "docs/operations.md#when-a-guard-refuses"

/** A name that no collector has, so that all others are read. */
const noCollector = ""

type Ask<E, R> = (context: GuardContext) => Effect.Effect<ReadonlyArray<string>, E, R>

/** Makes checks of guards that share what a process remembers. */
const asker = (settings: SweepSettings) => {
  const memory = emptyMemory()
  return <E, R>(
    { about, docs = guards, name }: { readonly name: string; readonly about: string; readonly docs?: string },
    guard: Ask<E, R>,
    allowed: Found,
    dryRun = true
  ): Check<R> => ({
    name,
    about,
    docs,
    run: Effect.gen(function* () {
      const answer = yield* Effect.result(
        guard({
          settings,
          id: noCollector,
          now: yield* Clock.currentTimeMillis,
          sources: [],
          dryRun,
          evenIfPaused: false,
          memory,
          tellStore: () => undefined,
          tellLost: () => undefined,
          activity: null,
          tellOrders: () => undefined,
          tellRegistered: () => undefined
        })
      )
      if (Result.isFailure(answer)) return foundOf(answer.failure)
      return answer.success.length === 0 ? [allowed] : answer.success.map(remark)
    })
  })
}

/** A guard that allows a sweep says in a sentence what is odd. Its beginning is the title. */
const remark = (message: string): Found => ({
  severity: "warning",
  title: message.split(/[:.](?:\s|$)/)[0] ?? message,
  seen: message
})

/** Returns the checks of the catalogue and of the collector's tables, and those that need the store besides. */
export const catalogueGroups = (
  settings: SweepSettings
): readonly [catalogue: Group<CollectorDatabase>, both: Group<CollectorDatabase | Storage>] => {
  const guarded = asker(settings)
  const schema = guarded(
    {
      name: "schema",
      about:
        "The collector's tables and the registry's, their version, every right that a sweep needs, and the foreign keys to blobs with their indexes and collations."
    },
    schemaGuard,
    ok("The catalogue is safe to collect", "Tables, rights, foreign keys, their indexes and collations.")
  )
  const both = [
    guarded(
      { name: "collectors", about: "All collectors of this catalogue have the same settings." },
      settingsGuard,
      ok("Collectors agree on their settings")
    ),
    guarded(
      { name: "clocks", about: "Host, database and store agree on the time." },
      clockGuard,
      ok("Clocks agree", "Host, database and store differ by less than GC_CLOCK_TOLERANCE.")
    ),
    guarded(
      {
        name: "binding",
        about: "The collector's tables belong to this catalogue and to this store.",
        docs: "docs/operations.md#another-store-catalogue-or-server"
      },
      bindingGuard,
      ok("The tables belong to this catalogue and store")
    ),
    guarded(
      {
        name: "keys",
        about: "A sample of rows has objects in the store.",
        docs: "docs/operations.md#audit"
      },
      keysGuard,
      ok("Sampled rows have their objects")
    ),
    guarded(
      {
        name: "age",
        about: "The database was not set back to an earlier time.",
        docs: "docs/operations.md#restoring-one"
      },
      ageGuard,
      ok("The database is not older than the store")
    )
  ]
  return [
    { name: "catalogue", gate: schema, checks: [...guardChecks(guarded), breakers, deadLetters] },
    { name: "catalogue and the store", gate: null, checks: both }
  ]
}

const guardChecks = (guarded: ReturnType<typeof asker>): ReadonlyArray<Check<CollectorDatabase>> => [
  guarded(
    {
      name: "references",
      about:
        "The foreign keys of earlier sweeps still exist, and no column looks like an undeclared reference.",
      docs: "docs/operations.md#undeclared-references"
    },
    referencesGuard,
    ok("Every reference is declared")
  ),
  // Neither of the next two writes, and without a dry run they say what a sweep would do.
  guarded(
    {
      name: "writers",
      about: "It is said whether unannounced writers share the catalogue, and their triggers are installed.",
      docs: "docs/operations.md#first-run-on-your-own-catalogue"
    },
    writersGuard,
    ok("It is known which writers share the catalogue"),
    false
  ),
  guarded(
    { name: "pause", about: "Collection is not paused.", docs: "docs/operations.md#pausing" },
    pauseGuard,
    ok("Collection is not paused"),
    false
  )
]

const breakers: Check<CollectorDatabase> = {
  name: "breakers",
  about: "No breaker waits for a person.",
  docs: "docs/operations.md#when-the-breaker-opens",
  run: Effect.gen(function* () {
    const open = (yield* (yield* CollectorDatabase).breakers.list).filter(isOpen)
    return open.length === 0
      ? [ok("No breaker is open")]
      : open.map(
          ({ exposure, name, trippedAt }): Found => ({
            severity: "warning",
            title: `The breaker ${name} is open`,
            seen: `Since ${new Date(trippedAt ?? 0).toISOString()}, over ${exposure?.blobs ?? 0} of ${exposure?.totalBlobs ?? 0}. Nothing of it is deleted until a person confirms.`,
            fix: `artifact-gc breaker --confirm ${name}    # after a look: artifact-gc condemned`
          })
        )
  })
}

const deadLetters: Check<CollectorDatabase> = {
  name: "dead-letters",
  about: "No key was given up on.",
  docs: "docs/operations.md#dead-letters",
  run: Effect.gen(function* () {
    const { deadLetters: dead, oldestDeadAt } = yield* (yield* CollectorDatabase).backlog(
      yield* Clock.currentTimeMillis
    )
    return dead === 0
      ? [ok("There are no dead letters")]
      : [
          {
            severity: "warning",
            title: `${dead} keys were given up on`,
            seen: `The first ${oldestDeadAt === null ? "" : `at ${new Date(oldestDeadAt).toISOString()}`}. Their objects use space until they are retried.`,
            fix: "artifact-gc journal    # reasons; --retry tries them again"
          }
        ]
  })
}
