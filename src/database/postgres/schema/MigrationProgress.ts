/** How `migrate` reports its progress. By default it reports to no watcher. */
import { Context, Effect } from "effect"

/** A migration that begins. */
export interface MigrationEvent {
  /** The set of migrations, such as `collector`. */
  readonly set: string
  /** Number and name, as in `0002_collector`. */
  readonly name: string
  /** Migrations of the set before this one, those of earlier runs included. */
  readonly done: number
  /** All migrations of the set. */
  readonly expected: number
}

/** Receives the migrations that run in its scope, each when it begins. */
export class MigrationProgress extends Context.Reference<{
  readonly report: (event: MigrationEvent) => Effect.Effect<void>
}>("artifact-gc/database/MigrationProgress", {
  defaultValue: () => ({ report: () => Effect.void })
}) {}
