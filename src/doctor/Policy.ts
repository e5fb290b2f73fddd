/** Statements of an IAM policy, ready to paste: parts of the files in deploy/iam, for this bucket and these prefixes. */
import type { Configuration } from "../config/Config.ts"

type Named = Pick<Configuration, "place"> & {
  readonly sweep: Pick<Configuration["sweep"], "blobPrefix" | "uploadPrefix">
}

/** Returns a statement that allows these actions on the bucket, on its objects below the prefixes, or on both. */
export const allow = (
  { place, sweep }: Named,
  on: "bucket" | "objects" | "both",
  ...actions: ReadonlyArray<string>
): string | null => {
  if (place._tag === "Embedded" || place.store._tag === "Files") return null
  const { bucket } = place.store
  const arn = bucket.startsWith("arn:") ? bucket : `arn:aws:s3:::${bucket}`
  const folder = `${arn}${bucket.startsWith("arn:") ? "/object" : ""}`
  const objects = [sweep.blobPrefix, sweep.uploadPrefix].map((prefix) => `${folder}/${prefix}*`)
  const resource = { bucket: arn, objects, both: [arn, ...objects] }
  return JSON.stringify({ Effect: "Allow", Action: actions, Resource: resource[on] })
}
