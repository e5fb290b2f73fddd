/** Statements of an IAM policy, ready to paste. */
import type { Configuration } from "../config/Config.ts"

/** Returns a statement that allows these actions on the bucket, or on its objects. */
export const allow = (
  { place }: Pick<Configuration, "place">,
  on: "bucket" | "objects",
  ...actions: ReadonlyArray<string>
): string | null => {
  if (place._tag === "Embedded" || place.store._tag === "Files") return null
  const { bucket } = place.store
  const arn = bucket.startsWith("arn:") ? bucket : `arn:aws:s3:::${bucket}`
  return JSON.stringify({
    Effect: "Allow",
    Action: actions,
    Resource: on === "bucket" ? arn : `${arn}${bucket.startsWith("arn:") ? "/object" : ""}/*`
  })
}
