/** The rules by which a bucket deletes, moves or aborts by itself. */
import { Effect } from "effect"
import type { StorageError } from "../../domain/StorageError.ts"
import type { LifecycleRule } from "../Storage.ts"
import type { Bucket, Filter, Rule } from "./Bucket.ts"
import { RequestFailed } from "./Failure.ts"
import { missing } from "./Traits.ts"

/** Implements `Storage.lifecycle` for a bucket. A bucket without a configuration has no rules. */
export const lifecycle = ({
  calls,
  name,
  requests
}: Bucket): Effect.Effect<ReadonlyArray<LifecycleRule>, StorageError> =>
  requests.repeated({ operation: "probe", subject: name, send: calls.lifecycle }).pipe(
    Effect.map((rules) => rules.map(ruleOf)),
    Effect.catchIf(isWithout, () => Effect.succeed([])),
    Effect.mapError((error) =>
      error.reason === "AccessDenied"
        ? missing(error, "s3:GetLifecycleConfiguration", "which shows what the bucket deletes by itself")
        : error
    )
  )

const isWithout = ({ cause }: StorageError): boolean =>
  cause instanceof RequestFailed && cause.code === "NoSuchLifecycleConfiguration"

const ruleOf = (rule: Rule): LifecycleRule => ({
  id: rule.ID ?? "",
  enabled: rule.Status === "Enabled",
  prefix: rule.Filter?.And?.Prefix ?? rule.Filter?.Prefix ?? rule.Prefix ?? "",
  filtered: isFiltered(rule.Filter),
  expiresAfterDays: rule.Expiration?.Days ?? (rule.Expiration?.Date === undefined ? null : 0),
  expiresVersionsAfterDays: rule.NoncurrentVersionExpiration?.NoncurrentDays ?? null,
  abortsAfterDays: rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation ?? null,
  movesTo: (rule.Transitions ?? []).flatMap(({ StorageClass }) => StorageClass ?? [])
})

const isFiltered = (filter: Filter | undefined): boolean =>
  filter !== undefined &&
  (filter.Tag !== undefined ||
    (filter.And?.Tags ?? []).length > 0 ||
    [filter, filter.And ?? {}].some(
      ({ ObjectSizeGreaterThan, ObjectSizeLessThan }) =>
        ObjectSizeGreaterThan !== undefined || ObjectSizeLessThan !== undefined
    ))
