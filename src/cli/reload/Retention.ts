/** Reads the file of retention rules, and follows it. */
import { Effect } from "effect"
import { watched } from "../../oci/access/WatchedFile.ts"
import { parse } from "../../oci/retention/RetentionRules.ts"
import { Reloadables, registered } from "./FollowedFiles.ts"

const looks = {
  changed: { _tag: "Changed" },
  unchanged: { _tag: "Unchanged" },
  refused: { _tag: "Refused" }
} as const

/** Returns the rules as they are now; null without a file. Fails with `AccessFileRefused` if the file cannot be used. */
export const rules = Effect.fnUntraced(function* (path: string | null) {
  if (path === null) return Effect.succeed(null)
  const setting = "REGISTRY_RETENTION_FILE"
  const { look, value } = yield* watched({ setting, path, parse })
  yield* registered(yield* Reloadables, {
    name: setting,
    reload: Effect.map(look, (found) => looks[found])
  })
  return value
})
