/**
 * The baseline of a sweep: the simplest collector there is. It selects the orphans, and then deletes one object and
 * one row at a time, each as a request and a transaction of its own. Unsafe, as it happens: a reference that arrives
 * between the two loses its bytes.
 *
 * It stops after a sample; what it does does not become cheaper or dearer as it goes on.
 */
import { DeleteObjectCommand } from "@aws-sdk/client-s3"
import { compete } from "../harness/Contender.ts"
import { connect } from "../harness/Postgres.ts"
import { client } from "./Client.ts"
import { antiJoin } from "./Statements.ts"
import type { Task } from "./Task.ts"

export interface BaselineTask extends Task {
  /** Blobs after which to stop. */
  readonly sample: number
}

export interface BaselineOutcome {
  /** How many orphans it found in all. */
  readonly found: number
  readonly digests: ReadonlyArray<string>
  readonly scanMillis: number
  readonly deleteMillis: number
}

await compete<BaselineTask, BaselineOutcome>(async (task) => {
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
