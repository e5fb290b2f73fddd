/** What the comparison of backends does with upload sessions. Repositories, sessions and tokens are few, so that commands meet. */
import { Effect, Option } from "effect"
import type { Digest } from "../../../src/domain/Digest.ts"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { StagedChunk } from "../../../src/oci/database/RegistryDatabase.ts"
import type { Database } from "../../fixtures/Database.ts"
import { artifact, chunk, digest, key, minute, now, pin, session } from "../../fixtures/samples.ts"

export const sessionVerbs = [
  "open",
  "open",
  "append",
  "append",
  "append",
  "append",
  "take",
  "lease",
  "complete",
  "complete",
  "complete",
  "cancel",
  "expire"
] as const

export interface SessionCommand {
  readonly verb: (typeof sessionVerbs)[number]
  readonly a: number
  readonly b: number
  readonly flag: boolean
  readonly at: number
}

interface Uploads {
  readonly uploads: Array<{ readonly key: ObjectKey; readonly digest: Digest; readonly sizeBytes: number }>
}

const instant = (at: number): number => now + at * 15 * minute

/** Three sessions: empty, of a chunk and of two; open, done, or under a lease. */
export const sessionRows = (given: ReadonlyArray<{ readonly used: number; readonly state: number }>) => {
  const chunks = [chunk(5, "s1", 0), chunk(6, "s2", 0), chunk(7, "s2", 6)].map((row) => ({
    ...row,
    key: key(`staged-${row.sizeBytes}`)
  }))
  const sessions = given.slice(0, 3).map(({ used, state }, n) =>
    session(`s${n}`, {
      receivedBytes: [0, 5, 13][n] ?? 0,
      lastActivityAt: instant(used),
      ...(state > 1 ? {} : { token: "token 0" }),
      ...(state === 0 ? { state: "finalizing", leaseUntil: instant(used + 2) } : {}),
      ...(state === 1 && n === 0 ? { state: "done", digest: digest(8) } : {})
    })
  )
  return { sessions, chunks }
}

/** Runs one command; what is repeated must answer the same on both. */
export const runSession = (
  { blobs, sessions }: Database["Service"],
  memory: Uploads,
  c: SessionCommand
): Effect.Effect<unknown, unknown> => {
  const at = instant(c.at)
  const ref = { repository: c.b === 7 ? "library/other" : "library/app", id: `s${c.a % 3}` }
  const lease = { token: `token ${c.b % 2}`, until: instant(c.at + (c.a % 3)) }
  /** A key that is new to both, with an intent or, rarely, without. */
  const announced = Effect.fnUntraced(function* (of: Digest, sizeBytes: number) {
    const upload = { key: key(`upload-${memory.uploads.length}`), digest: of, sizeBytes }
    memory.uploads.push(upload)
    if (c.at < 8) yield* blobs.intend([{ key: upload.key, digest: null, expiresAt: at }])
    if (c.at % 3 === 0) yield* blobs.recordMultipart(upload.key, `parts ${c.a}`)
    return upload
  })
  switch (c.verb) {
    case "open":
      return Effect.andThen(sessions.open(at, { ...ref, algorithm: "sha256" }), sessions.read(ref))
    case "append":
      return Effect.gen(function* () {
        if (c.a < 3) yield* sessions.open(at, { ...ref, algorithm: "sha256" })
        if (c.a === 1) yield* sessions.release(at, ref, lease.token)
        const found = Option.getOrUndefined(yield* sessions.read(ref))
        const startByte = c.flag && c.b < 4 ? c.b : (found?.receivedBytes ?? 0)
        const chunk: StagedChunk = { ...(yield* announced(digest(c.a), c.b)), startByte }
        const first = yield* sessions.append(at, ref, chunk)
        return [first, c.b > 4 ? yield* sessions.append(at, ref, chunk) : null]
      })
    case "take":
      return sessions.claim(at, ref, lease)
    case "lease":
      return Effect.all([
        sessions.touch(at, ref),
        sessions.renewClaim(at, ref, lease),
        c.flag ? sessions.release(at, ref, lease.token) : Effect.void
      ])
    case "complete":
      return Effect.gen(function* () {
        const claim = yield* sessions.claim(at, ref, lease)
        const [chunk] = claim._tag === "claimed" ? claim.chunks : []
        const { key, sizeBytes } =
          chunk === undefined || c.flag ? yield* announced(digest(c.b), c.b) : { ...chunk }
        const of = c.a > 5 ? digest(c.b) : digest(c.a + 8)
        const publication = {
          ...{ key, digest: of, sizeBytes },
          references: c.flag ? [{ ...artifact(`tag ${c.a % 3}`, 0), digest: of }] : [],
          pins: [{ ...pin(`pin ${c.b % 5}`, 0, at), digest: of }]
        }
        const token = c.at === 7 ? "another" : lease.token
        const first = yield* sessions.complete(at, ref, token, publication)
        return [claim, first, yield* sessions.complete(at, ref, token, publication)]
      })
    case "cancel":
      return sessions.cancel(at, ref)
    case "expire": {
      const idleSince = instant(c.at - 4 - (c.a % 4))
      return Effect.all([
        sessions.idle(at, idleSince),
        sessions.expire({
          now: at,
          idleSince,
          limit: c.b,
          deleteNotBefore: instant(c.at + 1),
          leaseUntil: c.flag ? null : instant(c.at + 2)
        })
      ])
    }
  }
}
