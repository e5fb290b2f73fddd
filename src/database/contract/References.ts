/**
 * What earlier sweeps saw of the references to blobs, so that a foreign key that disappears is noticed; and
 * columns that look like references and have no foreign key.
 */
import type { ColumnName } from "../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../domain/SchemaRefused.ts"
import type { Result } from "./Result.ts"

/** A foreign key that earlier sweeps found and that is gone, while its table exists. */
export interface MissingReference extends ColumnName {
  /** When a sweep first refused for it; null if none did. */
  readonly missingAt: number | null
  /** The statement that adds it again; null where there is none. */
  readonly fix: string | null
}

/** A reference source that earlier sweeps asked. */
export interface RememberedSource {
  readonly name: string
  /** When a sweep first refused because it did not have the source; null if none did. */
  readonly missingAt: number | null
}

/** What a check of the references found. */
export interface ReferenceCheck {
  /** Whether keys were gone at the last check, and none is now: they are back, or were forgotten. */
  readonly isComplete: boolean
  /** How many keys there are. */
  readonly keys: number
  readonly missing: ReadonlyArray<MissingReference>
  /** Keys whose tables were dropped. Each is told once. */
  readonly dropped: ReadonlyArray<ColumnName>
  /** Columns that look like references, have no foreign key, and are not declared to be none. */
  readonly undeclared: ReadonlyArray<SchemaProblem>
  /** The step that declares all of them at once; null without any. */
  readonly hint: string | null
  /** Whether this is the first check that found a reference table that holds or held a row. */
  readonly firstHeld: boolean
  /** The reference sources of earlier sweeps, by name. */
  readonly sources: ReadonlyArray<RememberedSource>
  /** Tables whose values this role could not read. Only the names of their columns were judged. */
  readonly unread: ReadonlyArray<string>
}

/** The verbs of references. `inspect` must have passed before. */
export interface References {
  /**
   * Compares the foreign keys with those of earlier sweeps, and looks for undeclared references. The answer to
   * the latter is remembered for a day, and while the schema stays as it is. With `record` it remembers the
   * present keys, what it found, and whether a reference table holds or ever held a row. A reference source
   * answers for the `covered` columns, so they are no undeclared references.
   */
  readonly check: (now: number, record: boolean, covered?: ReadonlyArray<string>) => Result<ReferenceCheck>
  /** Records that a sweep at `now` refused because these keys are gone. */
  readonly miss: (now: number, columns: ReadonlyArray<ColumnName>) => Result<void>
  /** Forgets keys that are gone. */
  readonly forget: (columns: ReadonlyArray<ColumnName>) => Result<void>
  /** Remembers these reference sources, which this sweep has. */
  readonly rememberSources: (names: ReadonlyArray<string>) => Result<void>
  /** Records that a sweep at `now` refused because it does not have these reference sources. */
  readonly missSources: (now: number, names: ReadonlyArray<string>) => Result<void>
  /** Forgets these reference sources. */
  readonly forgetSources: (names: ReadonlyArray<string>) => Result<void>
  /** Returns whether a reference table holds or held a row, now or when an earlier sweep looked. */
  readonly everHeld: Result<boolean>
}
