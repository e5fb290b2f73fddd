/** Rules of the bucket that delete, move or abort behind the catalogue's back. */
import { Duration, Effect, Result } from "effect"
import type { Configuration } from "../config/Config.ts"
import { type LifecycleRule, Storage } from "../storage/Storage.ts"
import type { Check } from "./Check.ts"
import { type Found, ok } from "./Finding.ts"
import { allow } from "./Policy.ts"

const docs = "docs/doctor.md#lifecycle-rules"

/** Storage classes whose objects must be restored before they can be read. */
const archives = new Set(["GLACIER", "DEEP_ARCHIVE"])

/** Whether some key begins with both. */
const meets = (one: string, other: string): boolean => one.startsWith(other) || other.startsWith(one)

const nameOf = ({ id, prefix }: LifecycleRule): string =>
  `${id === "" ? "A rule without a name" : `The rule "${id}"`}${prefix === "" ? "" : ` for ${prefix}`}`

type Prefixes = Pick<Configuration["sweep"], "blobPrefix" | "uploadPrefix" | "uploadGrace">

/** Returns what a rule does behind the catalogue's back. */
export const foundOfRule = (
  rule: LifecycleRule,
  settings: Prefixes,
  bucket: string
): ReadonlyArray<Found> => {
  const { blobPrefix, uploadGrace, uploadPrefix } = settings
  const blobs = meets(rule.prefix, blobPrefix)
  const staged = meets(rule.prefix, uploadPrefix)
  if (!rule.enabled || (!blobs && !staged)) return []
  const some = rule.filtered ? " of which tags or sizes exclude some" : ""
  const found: Array<Found> = []
  const { abortsAfterDays, expiresAfterDays, movesTo } = rule
  const grace = Duration.format(uploadGrace)
  const fix = `aws s3api get-bucket-lifecycle-configuration ${bucket}    # disable the rule, or limit its prefix; then put-bucket-lifecycle-configuration`
  const add = (severity: Found["severity"], title: string, seen: string) =>
    found.push({ severity, title: `${nameOf(rule)} ${title}`, seen, fix, docs })
  if (expiresAfterDays !== null && blobs) {
    add(
      "problem",
      "deletes blobs that are in use",
      `It deletes objects below ${blobPrefix}${some} after ${expiresAfterDays} days, whether or not anything refers to them. Clients can no longer read what refers to them.`
    )
  } else if (expiresAfterDays !== null && isShorter(expiresAfterDays, uploadGrace)) {
    add(
      "warning",
      "deletes uploads that are under way",
      `It deletes objects below ${uploadPrefix}${some} after ${expiresAfterDays} days, and GC_UPLOAD_GRACE allows ${grace}.`
    )
  }
  if (abortsAfterDays !== null && isShorter(abortsAfterDays, uploadGrace)) {
    add(
      "warning",
      "aborts uploads that are under way",
      `It aborts uploads in parts ${abortsAfterDays} days after they began, and GC_UPLOAD_GRACE allows ${grace}.`
    )
  }
  const archived = movesTo.filter((name) => archives.has(name))
  if (archived.length > 0 && blobs) {
    add(
      "problem",
      "archives blobs that are in use",
      `It moves objects below ${blobPrefix}${some} to ${archived.join(", ")}, from where they cannot be read until they are restored.`
    )
  }
  return found
}

const isShorter = (days: number, than: Duration.Duration): boolean =>
  Duration.isLessThan(Duration.days(days), than)

/** Returns the arguments by which the AWS command line finds the bucket. */
const bucketOf = ({ place }: Configuration): string => {
  if (place._tag === "Embedded" || place.store._tag === "Files") return ""
  const { bucket, endpoint } = place.store
  return `--bucket ${bucket}${endpoint === undefined ? "" : ` --endpoint-url ${endpoint}`}`
}

/** Returns the check of the bucket's lifecycle rules. */
export const lifecycle = (configuration: Configuration): Check<Storage> => ({
  name: "lifecycle",
  about: "No lifecycle rule of the bucket deletes or archives blobs, or ends uploads that are under way.",
  docs,
  run: Effect.gen(function* () {
    const { lifecycle } = yield* Storage
    if (lifecycle === undefined) return [ok("The store deletes nothing by itself")]
    const answer = yield* Effect.result(lifecycle)
    if (Result.isFailure(answer)) {
      const isDenied = answer.failure.reason === "AccessDenied"
      return [
        {
          severity: isDenied ? "warning" : "note",
          title: "It is not known whether lifecycle rules delete blobs",
          seen: answer.failure.message,
          fix: isDenied ? allow(configuration, "bucket", "s3:GetLifecycleConfiguration") : null
        }
      ]
    }
    const found = answer.success.flatMap((rule) =>
      foundOfRule(rule, configuration.sweep, bucketOf(configuration))
    )
    const rules = `${answer.success.length} rules were read.`
    return found.length > 0 ? found : [ok("No lifecycle rule touches blobs or uploads under way", rules)]
  })
})
