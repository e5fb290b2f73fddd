/** Condemned blobs, page by page, for the commands that list and restore them. */
import { Effect, Option, Stream } from "effect"
import { CollectorDatabase, type CondemnedBlob, type CondemnedSelection } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"

/** Maximum number of blobs in a page. */
export const pageMax = 1000

/** Lists the selected blobs in digest order. Each is listed once, even if it is restored meanwhile. */
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
