/** The schema guard. The foreign keys must keep what they promise, and every reference must be one. */
import { Effect } from "effect"
import { CollectorDatabase } from "../../database/Database.ts"

/** Where triggers note some changes and not others, every sweep scans the whole catalogue, and the operator is told why. */
const watchFindings = Effect.gen(function* () {
  const { candidates } = yield* CollectorDatabase
  const { unwatched } = yield* candidates.watch
  return unwatched.length === 0
    ? []
    : [
        `References are watched, but not those of ${unwatched.join(", ")}: every sweep scans the whole catalogue. Run: artifact-gc migrate --watch-references (or --unwatch-references).`
      ]
})

/** Fails with `SchemaRefused` where it is not safe to collect. Returns a finding where the watching triggers are incomplete. */
export const schemaGuard = Effect.gen(function* () {
  yield* (yield* CollectorDatabase).inspect
  return yield* watchFindings
})
