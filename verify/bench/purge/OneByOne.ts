/** Rows as the simplest collector deletes them: one at a time, each in a transaction of its own that looks again. */
import type { Connection } from "../harness/Postgres.ts"

/** The condemned, in the order in which all contenders take them. */
export const condemned = async (connection: Connection): Promise<ReadonlyArray<string>> => {
  const rows = await connection.query(
    "SELECT digest FROM artifact_gc.orphans WHERE condemned_at IS NOT NULL ORDER BY condemned_at, digest"
  )
  return rows.map(({ digest }) => digest as string)
}

/** Answers how many rows went. */
export const deleteEach = async (connection: Connection, digests: ReadonlyArray<string>): Promise<number> => {
  let deleted = 0
  for (const digest of digests) {
    const gone = await connection.query(
      `DELETE FROM blobs b WHERE digest = $1
         AND NOT EXISTS (SELECT FROM artifacts r WHERE r.digest = b.digest)
         AND NOT EXISTS (SELECT FROM local_files r WHERE r.digest = b.digest)
       RETURNING object_key`,
      [digest]
    )
    deleted += gone.length
  }
  return deleted
}
