/**
 * The lease under which one request at a time finishes a session. It is renewed while work continues and
 * released however the request ends. Losing it costs the work and nothing else, because completion checks it
 * again.
 */
import { Clock, Effect } from "effect"
import { type BodyProgress, whileAlive } from "../../blobs/BodyProgress.ts"
import type { Digest } from "../../domain/Digest.ts"
import { KeyNonce } from "../../domain/ObjectKey.ts"
import type { Lease, SessionRef, StagedChunk, UploadSession } from "../database/contract/UploadSessions.ts"
import { UploadBusy, UploadUnknown } from "./errors.ts"
import type { UploadContext } from "./UploadContext.ts"

/** One request's lease on a session. */
export interface FinishLease {
  readonly ref: SessionRef
  /** Identifies the request to the database. */
  readonly token: string
  /** Whether the database may have a lease of this token, which must then be released. */
  needsRelease: boolean
}

/** A session that this request has leased, or that is a blob already. */
export type Acquired =
  | { readonly _tag: "claimed"; readonly session: UploadSession; readonly chunks: ReadonlyArray<StagedChunk> }
  | { readonly _tag: "done"; readonly session: UploadSession; readonly digest: Digest }

/** Pause between two tries to lease a session that another request has leased. */
const pollMillis = 500

/**
 * Runs `use` with a lease that is not acquired yet. Releases it however `use` ends, unless `use` clears
 * `needsRelease`.
 */
export const withFinishLease = <A, E, R>(
  context: UploadContext,
  ref: SessionRef,
  use: (lease: FinishLease) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(KeyNonce, (nonce) => {
    const lease: FinishLease = { ref, token: nonce(), needsRelease: false }
    return Effect.onExit(
      Effect.suspend(() => use(lease)),
      () => (lease.needsRelease ? release(context, lease) : Effect.void)
    )
  })

/**
 * Leases the session, and waits up to `busyWaitMillis` while another request has it. Fails with `UploadBusy` after that, and at
 * once if a further request waits already. Fails with `UploadUnknown` if the session does not exist.
 */
export const acquireFinishLease = Effect.fnUntraced(function* (context: UploadContext, lease: FinishLease) {
  const { busyWaitMillis, registry } = context
  const { ref } = lease
  const begun = yield* Clock.monotonicTimeNanos
  for (let isFirst = true; ; isFirst = false) {
    const now = yield* Clock.currentTimeMillis
    // Set before the call: if its answer is lost, the lease may have been taken.
    lease.needsRelease = true
    const outcome = yield* registry.sessions.claim(now, ref, leaseUntil(context, lease, now))
    if (outcome._tag === "claimed") return outcome
    lease.needsRelease = false
    if (outcome._tag === "done") return outcome
    if (outcome._tag === "unknown") return yield* new UploadUnknown({ ...ref })
    // The time of day may be set meanwhile.
    const waited = Number((yield* Clock.monotonicTimeNanos) - begun) / 1e6
    if (waited >= busyWaitMillis) return yield* new UploadBusy({ id: ref.id })
    if (isFirst) yield* waitAlone(context, ref)
    yield* Effect.sleep(Math.min(pollMillis, Math.max(1, busyWaitMillis - waited)))
  }
}, Effect.scoped)

/** Waits ask the database again and again, and a client that repeats its request has given the one before up. */
const waitAlone = Effect.fnUntraced(function* ({ waiting }: UploadContext, { id }: SessionRef) {
  if (waiting.has(id)) return yield* new UploadBusy({ id })
  yield* Effect.acquireRelease(
    Effect.sync(() => waiting.add(id)),
    () => Effect.sync(() => waiting.delete(id))
  )
})

/**
 * Renews the lease every third of it while the upload is alive. Succeeds with `lost` once another request has
 * it.
 */
export const renewUntilLost = Effect.fnUntraced(function* (
  context: UploadContext,
  lease: FinishLease,
  progress: BodyProgress
) {
  const beat = Effect.gen(function* () {
    const isOurs = yield* renewFinishLease(context, lease).pipe(
      // The next renewal comes before the lease ends.
      Effect.catch((error) =>
        Effect.as(
          Effect.logWarning(
            "The lease on an upload session was not renewed. The request continues, and the renewal is repeated.",
            error
          ),
          true
        )
      )
    )
    if (!isOurs) return yield* Effect.fail("lost" as const)
  })
  return yield* Effect.flip(whileAlive(progress, context.finishLeaseMillis / 3, beat))
})

/** Renews the lease, and returns false if another request has it. */
export const renewFinishLease = Effect.fnUntraced(function* (context: UploadContext, lease: FinishLease) {
  const now = yield* Clock.currentTimeMillis
  return yield* context.registry.sessions.renewClaim(now, lease.ref, leaseUntil(context, lease, now))
})

const leaseUntil = ({ finishLeaseMillis }: UploadContext, { token }: FinishLease, now: number): Lease => ({
  token,
  until: now + finishLeaseMillis
})

const release = Effect.fnUntraced(function* ({ registry }: UploadContext, { ref, token }: FinishLease) {
  const now = yield* Clock.currentTimeMillis
  yield* Effect.catch(registry.sessions.release(now, ref, token), (error) =>
    Effect.logWarning(
      "The lease on an upload session was not released. Other requests of the session wait until it ends by itself. Check the database if this repeats.",
      error
    )
  )
})
