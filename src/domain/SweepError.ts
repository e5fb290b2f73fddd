/** What can end a phase or refuse a sweep, as a union of errors and of their tags. Reports hold the tag. */
import { Schema } from "effect"
import type { DatabaseError } from "./DatabaseError.ts"
import type {
  AgeRefused,
  BindingRefused,
  BreakerOpen,
  ClockRefused,
  CollectionPaused,
  KeysRefused,
  ReferencesChanged,
  SettingsRefused,
  SourcesMissing,
  StoreRefused,
  WritersRefused
} from "./Refusals.ts"
import type { SchemaRefused } from "./SchemaRefused.ts"
import type { StorageError } from "./StorageError.ts"

/**
 * The errors by which guards and breakers refuse. While the cause persists, nothing of what they guard is
 * deleted.
 */
export type Refusal =
  | SchemaRefused
  | CollectionPaused
  | ReferencesChanged
  | SourcesMissing
  | WritersRefused
  | ClockRefused
  | SettingsRefused
  | StoreRefused
  | BindingRefused
  | KeysRefused
  | AgeRefused
  | BreakerOpen

/** Every error that can end a phase or refuse a sweep. */
export type SweepError = Refusal | DatabaseError | StorageError

/** The compiler holds this list to the union: a refusal that is missing here does not compile. */
const refusals: Readonly<Record<Refusal["_tag"], true>> = {
  SchemaRefused: true,
  CollectionPaused: true,
  ReferencesChanged: true,
  SourcesMissing: true,
  WritersRefused: true,
  ClockRefused: true,
  SettingsRefused: true,
  StoreRefused: true,
  BindingRefused: true,
  KeysRefused: true,
  AgeRefused: true,
  BreakerOpen: true
}

const refusalTags = Object.keys(refusals) as ReadonlyArray<Refusal["_tag"]>

/**
 * The tag of an error in a report. `Defect`: a bug, or an error that a phase of the host threw; the message
 * is its text.
 */
export const SweepErrorTag = Schema.Literals([...refusalTags, "DatabaseError", "StorageError", "Defect"])
/** The tag of an error in a report. */
export type SweepErrorTag = typeof SweepErrorTag.Type

/** Tells whether an error with this tag is a refusal, which an operator ends, and not a failure. */
export const isRefusal = (tag: SweepErrorTag): tag is Refusal["_tag"] => Object.hasOwn(refusals, tag)
