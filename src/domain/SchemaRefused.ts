/** The catalogue is not one the collector can be safe on; it refuses rather than guess. */
import { Schema } from "effect"

/**
 * One thing that is wrong with the catalogue.
 *
 * - `MissingTable`, `MissingColumn`, `WrongType`: the configured names do not fit
 * - `MissingCollectorTables`: `artifact-gc migrate` has not been run, or not this version's
 * - `NoReferences`: no foreign key points at blobs, so every blob would look like garbage
 * - `DestructiveForeignKey`: ON DELETE CASCADE, SET NULL or SET DEFAULT: purging would destroy references
 * - `UnenforcedForeignKey`: its triggers are disabled, or it is NOT ENFORCED
 * - `UnsupportedForeignKey`: it spans several columns, or compares under another collation
 * - `MissingIndex`: every purge would scan the table
 * - `KeyNotUnique`: two rows could own one object
 * - `HiddenRows`: row-level security hides references from the collector's role
 * - `MissingPrivilege`: the role lacks a privilege
 * - `ReadOnly`: connected to a standby
 * - `UnannouncedWritersUnguarded`: the triggers against unannounced writers are installed in part
 */
export const SchemaProblemKind = Schema.Literals([
  "MissingTable",
  "MissingColumn",
  "WrongType",
  "MissingCollectorTables",
  "NoReferences",
  "DestructiveForeignKey",
  "UnenforcedForeignKey",
  "UnsupportedForeignKey",
  "MissingIndex",
  "KeyNotUnique",
  "HiddenRows",
  "MissingPrivilege",
  "ReadOnly",
  "UnannouncedWritersUnguarded"
])

export const SchemaProblem = Schema.Struct({
  kind: SchemaProblemKind,
  /** `schema.table` concerned. */
  table: Schema.String,
  /** The constraint concerned, where it is one. */
  constraint: Schema.optional(Schema.String),
  problem: Schema.String,
  /** The statement or setting that puts it right. */
  fix: Schema.String
})
export type SchemaProblem = typeof SchemaProblem.Type

/** Every problem found at once. Nothing is condemned or purged while one remains. */
export class SchemaRefused extends Schema.TaggedError<SchemaRefused>()("SchemaRefused", {
  problems: Schema.NonEmptyArray(SchemaProblem)
}) {
  override get message(): string {
    const lines = this.problems.map(
      (p) =>
        `  ${p.table}${p.constraint === undefined ? "" : ` (constraint ${p.constraint})`}: ${p.problem}\n    fix: ${p.fix}`
    )
    return `The collector refuses to work on this catalogue:\n${lines.join("\n")}`
  }
}
