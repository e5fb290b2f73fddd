/** The error of a catalogue on which the collector cannot be safe. */
import { Schema } from "effect"

/**
 * Names the kind of a problem.
 *
 * - `MissingTable`, `MissingColumn`, `WrongType`: the configured names do not fit the catalogue
 * - `MissingCollectorTables`: `artifact-gc migrate` was not run, or was run by another version
 * - `SharedSchema`: the collector's tables would be in the catalogue's schema
 * - `MissingTimeZone`: a column of instants has no time zone, and the settings name none
 * - `DigestTypeChanged`: the collector's tables store digests in another type than the catalogue
 * - `NoReferences`: no table has a foreign key to blobs, so every blob would be an orphan
 * - `DestructiveForeignKey`: ON DELETE CASCADE, SET NULL or SET DEFAULT, so a purge would destroy references
 * - `UnenforcedForeignKey`: the foreign key's triggers are disabled, or it is NOT ENFORCED
 * - `UnsupportedForeignKey`: the foreign key spans several columns, or its column has another collation
 * - `InheritedReference`: a table inherits from a reference table, and no foreign key covers its rows
 * - `UndeclaredReference`: a column looks like a reference to blobs and has no foreign key
 * - `GeneratedKey`: triggers against unannounced writers beside a key column that PostgreSQL computes
 * - `MissingIndex`: each purge would scan the table
 * - `KeyNotUnique`: two blobs could own one object, or two rows could have one digest
 * - `HiddenRows`: row-level security hides rows from the collector's role
 * - `MissingPrivilege`: the collector's role lacks a privilege
 * - `ReadOnly`: the server is a standby
 * - `UnannouncedWritersUnguarded`: the triggers against unannounced writers are installed in part
 */
export const SchemaProblemKind = Schema.Literals([
  "MissingTable",
  "MissingColumn",
  "WrongType",
  "MissingCollectorTables",
  "SharedSchema",
  "MissingTimeZone",
  "DigestTypeChanged",
  "NoReferences",
  "DestructiveForeignKey",
  "UnenforcedForeignKey",
  "UnsupportedForeignKey",
  "InheritedReference",
  "UndeclaredReference",
  "GeneratedKey",
  "MissingIndex",
  "KeyNotUnique",
  "HiddenRows",
  "MissingPrivilege",
  "ReadOnly",
  "UnannouncedWritersUnguarded"
])

/** One problem of the catalogue, with what solves it. */
export const SchemaProblem = Schema.Struct({
  /** The kind of the problem. */
  kind: SchemaProblemKind,
  /** `schema.table` of the table concerned. */
  table: Schema.String,
  /** The constraint concerned, if it is one. */
  constraint: Schema.optional(Schema.String),
  /** What is wrong, in words. */
  problem: Schema.String,
  /** The statement, setting or command that solves it. */
  fix: Schema.String
})
/** One problem of the catalogue, with what solves it. */
export type SchemaProblem = typeof SchemaProblem.Type

/**
 * The collector refuses the catalogue. Holds every problem found. Nothing is condemned or purged while one
 * remains.
 */
export class SchemaRefused extends Schema.TaggedError<SchemaRefused>()("SchemaRefused", {
  /** All problems that were found. */
  problems: Schema.NonEmptyArray(SchemaProblem),
  /** A step that solves several problems at once, if there is such. */
  hint: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const lines = this.problems.map(
      (p) =>
        `  ${p.table}${p.constraint === undefined ? "" : ` (constraint ${p.constraint})`}: ${p.problem}\n    fix: ${p.fix}`
    )
    return `The collector refuses to work on this catalogue:\n${lines.join("\n")}${this.hint === undefined ? "" : `\n${this.hint}`}\nNothing was deleted.`
  }
}
