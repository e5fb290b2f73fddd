/** The refusals of guards as findings: the guards say what is wrong, and this says what to paste. */
import type {
  BindingRefused,
  ClockRefused,
  CollectionPaused,
  KeysRefused,
  ReferencesChanged,
  SettingsRefused,
  SourcesMissing,
  StoreRefused,
  WritersRefused
} from "../domain/Refusals.ts"
import type { SchemaProblem, SchemaRefused } from "../domain/SchemaRefused.ts"
import { failureOf } from "./Check.ts"
import type { Found } from "./Finding.ts"

/** The refusals of guards. */
type Refusal =
  | BindingRefused
  | ClockRefused
  | CollectionPaused
  | KeysRefused
  | ReferencesChanged
  | SchemaRefused
  | SettingsRefused
  | SourcesMissing
  | StoreRefused
  | WritersRefused

type FoundOf = { readonly [R in Refusal as R["_tag"]]: (refusal: R) => ReadonlyArray<Found> }

const guards = "docs/operations.md#when-a-guard-refuses"

const one = (
  title: string,
  { message }: { readonly message: string },
  fix: string,
  docs = guards
): ReadonlyArray<Found> => [{ severity: "problem", title, seen: message, fix, docs }]

const found: FoundOf = {
  SchemaRefused: ({ hint, problems }) =>
    problems.map((problem) => ({
      severity: "problem",
      title: `${problem.table}: ${problem.problem}`,
      seen: seenOf(problem, hint),
      fix: problem.fix,
      docs: docsOf(problem.kind)
    })),
  ClockRefused: (refusal) =>
    one(
      "Clocks disagree",
      refusal,
      `timedatectl set-ntp true    # on the ${refusal.culprit === "undecided" ? "host whose clock is wrong" : refusal.culprit}`
    ),
  WritersRefused: (refusal) =>
    one(
      "It is not said which writers share the catalogue",
      refusal,
      "GC_UNANNOUNCED_WRITERS=guarded artifact-gc migrate --guard-unannounced-writers    # or, if there are none: GC_UNANNOUNCED_WRITERS=none",
      "docs/operations.md#first-run-on-your-own-catalogue"
    ),
  SettingsRefused: (refusal) =>
    one(
      "Another collector has other settings",
      refusal,
      `artifact-gc collectors --forget=${refusal.peer}    # if it was killed`
    ),
  CollectionPaused: (refusal) => [
    {
      severity: "warning",
      title: "Collection is paused",
      seen: refusal.message,
      fix: "artifact-gc resume",
      docs: "docs/operations.md#pausing"
    }
  ],
  StoreRefused: (refusal) =>
    one(
      "It is not said what a delete does in a bucket with versions",
      refusal,
      "S3_VERSIONED_DELETE=versions    # frees the bytes; or markers, which leaves them to lifecycle rules",
      "docs/operations.md#buckets-with-versions-or-locks"
    ),
  BindingRefused: (refusal) =>
    one(
      "The collector's tables belong to another place",
      refusal,
      "artifact-gc rebind    # only if the place was changed on purpose, with all collectors stopped",
      "docs/operations.md#another-store-catalogue-or-server"
    ),
  KeysRefused: (refusal) =>
    one("Rows name objects that do not exist", refusal, "artifact-gc audit", "docs/operations.md#audit"),
  ReferencesChanged: (refusal) =>
    one(
      "Foreign keys to blobs are gone",
      refusal,
      refusal.fixes.length > 0 ? refusal.fixes.join(" ") : "artifact-gc breaker --confirm references",
      "docs/operations.md#undeclared-references"
    ),
  SourcesMissing: (refusal) => [
    {
      severity: "note",
      title: "Sweeps of the command line lack reference sources of an app",
      seen: refusal.message,
      docs: "docs/operations.md#reference-sources"
    }
  ]
}

const seenOf = ({ constraint, kind }: SchemaProblem, hint: string | undefined): string =>
  [`${kind}${constraint === undefined ? "" : `, constraint ${constraint}`}.`, hint ?? []].flat().join(" ")

const docsOf = (kind: SchemaProblem["kind"]): string =>
  kind === "MissingPrivilege"
    ? "docs/operations.md#privileges"
    : kind === "UndeclaredReference"
      ? "docs/operations.md#undeclared-references"
      : kind === "DigestTypeChanged"
        ? "docs/operations.md#digests-of-another-type"
        : guards

const isRefusal = (error: unknown): error is Refusal =>
  typeof error === "object" && error !== null && "_tag" in error && String(error._tag) in found

/** Returns the findings of a guard that refused or failed. */
export const foundOf = (error: unknown): ReadonlyArray<Found> =>
  isRefusal(error)
    ? (found[error._tag] as (refusal: Refusal) => ReadonlyArray<Found>)(error)
    : [failureOf(error)]
