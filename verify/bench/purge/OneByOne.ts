/**
 * Deletes rows as the simplest collector does: one at a time, each in its own transaction with a check for
 * references.
 */
import type { Connection } from "../harness/Postgres.ts"

/** Returns the condemned digests, in the order in which all variants purge them. */
export const condemned = async (connection: Connection): Promise<ReadonlyArray<string>> => {
  const rows = await connection.query(
    "SELECT digest FROM artifact_gc.orphans WHERE condemned_at IS NOT NULL ORDER BY condemned_at, digest"
  )
  return rows.map(({ digest }) => digest as string)
}

/** Deletes rows and returns how many were deleted. */
export const deleteEach = async (connection: Connection, digests: ReadonlyArray<string>): Promise<number> => {
  let deleted = 0
  for (const digest of digests) {
    const rows = await connection.query(
      `DELETE FROM blobs b WHERE digest = $1
         AND NOT EXISTS (SELECT FROM artifacts r WHERE r.digest = b.digest)
         AND NOT EXISTS (SELECT FROM local_files r WHERE r.digest = b.digest)
       RETURNING object_key`,
      [digest]
    )
    deleted += rows.length
  }
  return deleted
}
