/** Condemned blobs, page by page, for the commands that list them and take them back. */
import { Effect, Option, Stream } from "effect"
import { CollectorDatabase, type CondemnedBlob, type CondemnedSelection } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"

export const pageMax = 1000

/** In digest order. What is restored behind the cursor does not come up again. */
export const pages = (
  selection: CondemnedSelection
): Stream.Stream<ReadonlyArray<CondemnedBlob>, DatabaseError, CollectorDatabase> =>
  Stream.paginate(null, (after: Digest | null) =>
    Effect.gen(function* () {
      const { orphans } = yield* CollectorDatabase
      const page = yield* orphans.condemned(selection, after, pageMax)
      const last = page.at(-1)
      const next = page.length < pageMax || last === undefined ? Option.none() : Option.some(last.digest)
      return [page.length === 0 ? [] : [page], next] as const
    })
  )
