/**
 * The references guard. What earlier sweeps knew of the references must still hold, and no column may look like
 * a reference without being one.
 *
 * A foreign key that is gone while its table exists makes the collector refuse: a bulk load that drops the key
 * and adds it again later would find its blobs deleted. A dropped table is only told. Its rows are gone with
 * it, as if they had been deleted, and the breaker of the orphans judges how many blobs that concerns.
 */
import { Array as Arr, Effect } from "effect"
import {
  CollectorDatabase,
  isOpen,
  type MissingReference,
  type ReferenceCheck
} from "../../database/Database.ts"
import type { ColumnName } from "../../domain/CatalogNames.ts"
import { ReferencesChanged } from "../../domain/Refusals.ts"
import { SchemaRefused } from "../../domain/SchemaRefused.ts"
import { type Breaker, nothing } from "../Breaker.ts"
import * as FirstReference from "../FirstReference.ts"
import type { GuardContext } from "./Guard.ts"
import { requireSources } from "./SourcesGuard.ts"

/** Opens when foreign keys are gone that earlier sweeps found. */
export const referencesBreaker: Breaker = {
  name: "references",
  describe: ({ blobs }) => `${blobs} foreign keys to blobs that earlier sweeps found are gone`,
  look: "If a migration dropped them by mistake, add them again. To see which: artifact-gc sweep --dry-run"
}

/**
 * Fails with `SchemaRefused` for undeclared references, with `ReferencesChanged` for foreign keys that are gone,
 * and with `SourcesMissing` for reference sources that earlier sweeps had. Returns a finding for dropped tables, and in a dry run for tables that could not be read.
 */
export const referencesGuard = Effect.fnUntraced(function* (context: GuardContext) {
  const { references } = yield* CollectorDatabase
  const covered = context.sources.flatMap(({ covers }) => covers)
  const found = yield* references.check(context.now, !context.dryRun, covered)
  yield* requireKeys(context, found)
  yield* requireSources(context, found)
  if (found.firstHeld && !context.dryRun) {
    yield* (yield* CollectorDatabase).breakers.confirm(context.now, [FirstReference.breaker.name])
  }
  const { dropped, hint, undeclared, unread } = found
  if (Arr.isReadonlyArrayNonEmpty(undeclared)) {
    return yield* new SchemaRefused({ problems: undeclared, ...(hint === null ? {} : { hint }) })
  }
  return [
    ...(dropped.length === 0
      ? []
      : [
          `Reference tables were dropped: ${dropped.map(described).join(", ")}. Blobs referenced only there are deleted after their waits.`
        ]),
    // In every report it would be noise: a role that reads little is recommended.
    ...(unread.length === 0 || !context.dryRun ? [] : [unreadFinding(unread)])
  ]
})

const described = ({ column, schema, table }: ColumnName): string => `${schema}.${table} (${column})`

const namedMax = 5

const unreadFinding = (tables: ReadonlyArray<string>): string => {
  const rest = tables.length > namedMax ? ` and ${tables.length - namedMax} more` : ""
  return `This role cannot read ${tables.slice(0, namedMax).join(", ")}${rest}, so only the names of their columns tell whether they refer to blobs. A dry run by a role that may read them (GRANT pg_read_all_data) looks at values, too.`
}

const requireKeys = Effect.fnUntraced(function* (
  { dryRun, now }: GuardContext,
  { isComplete, missing }: ReferenceCheck
) {
  const { breakers, references } = yield* CollectorDatabase
  const { name } = referencesBreaker
  if (missing.length === 0) {
    if (isComplete && !dryRun) yield* breakers.confirm(now, [name])
    return
  }
  const state = yield* breakers.read(name)
  const { confirmedAt } = state
  const isConfirmed = ({ missingAt }: MissingReference) =>
    missingAt !== null && confirmedAt !== null && confirmedAt >= missingAt
  const confirmed = missing.filter(isConfirmed)
  const others = missing.filter((key) => !isConfirmed(key))
  if (!dryRun && confirmed.length > 0) yield* references.forget(confirmed)
  if (others.length === 0) return
  if (!dryRun && (!isOpen(state) || others.some(({ missingAt }) => missingAt === null))) {
    // After the confirmation, also where this host's clock is behind.
    const at = Math.max(now, (confirmedAt ?? 0) + 1)
    yield* references.miss(at, others)
    yield* breakers.trip(name, at, { ...nothing, blobs: others.length })
  }
  return yield* new ReferencesChanged({
    missing: others.map(described),
    fixes: others.flatMap(({ fix }) => fix ?? [])
  })
})
