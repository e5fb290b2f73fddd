/**
 * The baseline of a sweep: the simplest collector. It selects the orphans, and then deletes one object and
 * one row at a time, in separate requests and transactions. It is unsafe: a reference that is written between
 * the two loses its bytes.
 *
 * It stops after a sample, since the cost of each deletion does not change.
 */
import { DeleteObjectCommand } from "@aws-sdk/client-s3"
import { connect } from "../harness/Postgres.ts"
import { runVariant } from "../harness/Variant.ts"
import { client } from "./Client.ts"
import { antiJoin } from "./Statements.ts"
import type { Task } from "./Task.ts"

/** The task of the baseline. */
export interface BaselineTask extends Task {
  /** Number of blobs after which it stops. */
  readonly sample: number
}

/** The outcome of the baseline. */
export interface BaselineOutcome {
  /** Number of orphans that it found. */
  readonly found: number
  readonly digests: ReadonlyArray<string>
  readonly scanMillis: number
  readonly deleteMillis: number
}

await runVariant<BaselineTask, BaselineOutcome>(async (task) => {
  const database = await connect(task.databaseUrl)
  const s3 = client(task.s3)
  return {
    run: async () => {
      const began = performance.now()
      const orphans = await database.query(antiJoin.text)
      const scanned = performance.now()
      const sample = orphans.slice(0, task.sample)
      for (const { digest, object_key } of sample) {
        await s3.send(new DeleteObjectCommand({ Bucket: task.s3.bucket, Key: String(object_key) }))
        await database.query("DELETE FROM blobs WHERE digest = $1", [digest])
      }
      return {
        found: orphans.length,
        digests: sample.map(({ digest }) => String(digest)),
        scanMillis: scanned - began,
        deleteMillis: performance.now() - scanned
      }
    },
    close: async () => {
      s3.destroy()
      await database.close()
    }
  }
})
