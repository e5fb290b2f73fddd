/** Verifies that the references and blobs of the load still exist. */
import { createHash } from "node:crypto"
import type { Connection } from "../harness/Postgres.ts"
import { ensure } from "../harness/Question.ts"
import type { LoadOutcome } from "./Load.ts"
import { pushRepository, referenceRepository } from "./Repositories.ts"

/** Verifies that every reference exists and refers to its blob. */
export const verifyReferences = async (connection: Connection, { referred }: LoadOutcome): Promise<void> => {
  ensure(referred.length > 0, "the load wrote no reference")
  const [row] = await connection.query(
    `SELECT count(*)::int AS found FROM unnest($1::text[]) WITH ORDINALITY AS expected (digest, number)
     JOIN artifacts a ON a.repository = $2 AND a.name = (expected.number - 1)::text AND a.digest = expected.digest
     JOIN blobs b ON b.digest = a.digest`,
    [referred, referenceRepository]
  )
  ensure(
    row?.found === referred.length,
    `of ${referred.length} references ${row?.found} exist with their blob`
  )
}

/** Verifies that every pushed blob can be pulled and has its bytes. */
export const verifyPushes = async (registryUrl: string, { pushed }: LoadOutcome): Promise<void> => {
  ensure(pushed.length > 0, "the load pushed no blob")
  ensure(new Set(pushed).size === pushed.length, "some blobs were pushed twice")
  for (const digest of pushed) {
    const answer = await fetch(`${registryUrl}/v2/${pushRepository}/blobs/${digest}`)
    const body = Buffer.from(await answer.arrayBuffer())
    ensure(answer.status === 200, `${digest} was pushed, and pulling it is answered with ${answer.status}`)
    const found = `sha256:${createHash("sha256").update(body).digest("hex")}`
    ensure(found === digest, `${digest} was pushed, and ${found} was pulled`)
  }
}
