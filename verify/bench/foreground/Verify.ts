/** That what the load did is still there. */
import { createHash } from "node:crypto"
import type { Connection } from "../harness/Postgres.ts"
import { insist } from "../harness/Question.ts"
import type { LoadOutcome } from "./Load.ts"
import { pushRepository, referenceRepository } from "./names.ts"

/** Every reference, to the blob that it was made for, which is there. */
export const verifyReferences = async (connection: Connection, { referred }: LoadOutcome): Promise<void> => {
  insist(referred.length > 0, "nothing was referred to")
  const [row] = await connection.query(
    `SELECT count(*)::int AS found FROM unnest($1::text[]) WITH ORDINALITY AS expected (digest, number)
     JOIN artifacts a ON a.repository = $2 AND a.name = (expected.number - 1)::text AND a.digest = expected.digest
     JOIN blobs b ON b.digest = a.digest`,
    [referred, referenceRepository]
  )
  insist(
    row?.found === referred.length,
    `of ${referred.length} references ${row?.found} are there with their blob`
  )
}

/** Every blob that was pushed can be pulled, and is what was pushed. */
export const verifyPushes = async (registryUrl: string, { pushed }: LoadOutcome): Promise<void> => {
  insist(pushed.length > 0, "nothing was pushed")
  insist(new Set(pushed).size === pushed.length, "some blobs were pushed twice")
  for (const digest of pushed) {
    const answer = await fetch(`${registryUrl}/v2/${pushRepository}/blobs/${digest}`)
    const body = Buffer.from(await answer.arrayBuffer())
    insist(answer.status === 200, `${digest} was pushed, and pulling it is answered with ${answer.status}`)
    const found = `sha256:${createHash("sha256").update(body).digest("hex")}`
    insist(found === digest, `${digest} was pushed, and ${found} was pulled`)
  }
}
