/** The schema guard. The foreign keys must keep what they promise, and every reference must be one. */
import { Effect } from "effect"
import { CollectorDatabase } from "../../database/Database.ts"
import type { GuardContext } from "./Guard.ts"

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
export const schemaGuard = Effect.fnUntraced(function* ({ sources }: Pick<GuardContext, "sources">) {
  const database = yield* CollectorDatabase
  yield* sources.length === 0 ? database.inspect : database.inspectWithSources
  return yield* watchFindings
})
