/**
 * The triggers that note losses of references (docs/design/finding.md), installed by
 * `artifact-gc migrate --watch-references`.
 */
import { Effect } from "effect"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import type { Watch } from "../../../contract/Candidates.ts"
import {
  difference,
  type InstalledTrigger,
  install,
  type References,
  remove,
  type TriggerSet,
  tablesOf
} from "../TriggerSet.ts"
import { functionPrefix, watchTriggers } from "./Functions.ts"

/** Declares the triggers that watch references. */
export const watchedReferences: TriggerSet = {
  functionPrefix,
  wanted: watchTriggers,
  needs: (names) => [
    [names.schema, names.blobsTable, "SELECT"],
    [names.collectorSchema, "candidates", "INSERT"],
    [names.collectorSchema, "scans", "SELECT, UPDATE"]
  ],
  // What was lost before a trigger existed is in no queue, so a scan of everything is made due.
  afterInstall: ({ sql, id }, _references, created) =>
    created === 0 ? Effect.void : sql`UPDATE ${id.scans} SET wanted = wanted + 1 WHERE name = 'orphans'`,
  // Without triggers the queue would grow stale, and be wrong when they are installed again.
  afterRemoval: ({ sql, id }) => sql`DELETE FROM ${id.candidates}`
}

/**
 * Installs the triggers, or completes them where tables were added or dropped. Idempotent. The next sweep
 * scans the whole catalogue once, for references that were deleted before.
 *
 * Fails with `Contended`, having changed nothing, if a table is busy: its writers wait for half a second at
 * most. Fails with `SchemaRefused` if there is no catalogue.
 */
export const watchReferences = Effect.fn("Watching.watch")((names: CatalogNames) =>
  install(watchedReferences, names, "migrate.watchReferences")
)

/**
 * Removes the triggers and empties the queue. Idempotent. From then on every sweep scans the whole catalogue.
 * Fails with `Contended`, having changed nothing, if a table is busy.
 */
export const unwatchReferences = Effect.fn("Watching.unwatch")((names: CatalogNames) =>
  remove(watchedReferences, names, "migrate.unwatchReferences")
)

/** Returns whether references are watched, and the tables without a trigger if they are watched in part. */
export const watchOf = (
  names: CatalogNames,
  references: References,
  installed: ReadonlyArray<InstalledTrigger>
): Watch => {
  if (installed.length === 0) return { isOn: false, unwatched: [] }
  const { inactive } = difference(watchTriggers(names, references), installed)
  return { isOn: inactive.length === 0, unwatched: tablesOf(inactive) }
}
