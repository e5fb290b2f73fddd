/**
 * Who finishes a session: one request at a time, under a lease that is renewed while work goes on and given back
 * whatever happens. Losing it costs the work and nothing else, because completion asks for it again.
 */
import { Clock, Effect } from "effect"
import { whileAlive } from "../../blobs/AnnouncedUpload.ts"
import type { Flow } from "../../blobs/Measure.ts"
import type { Digest } from "../../domain/Digest.ts"
import { KeyNonce } from "../../domain/ObjectKey.ts"
import type { Lease, SessionRef, StagedChunk, UploadSession } from "../database/contract/UploadSessions.ts"
import { UploadBusy, UploadUnknown } from "./errors.ts"
import type { Keeper } from "./UploadContext.ts"

export interface Claim {
  readonly ref: SessionRef
  readonly token: string
  /** Whether there may be something to give back. */
  isHeld: boolean
}

/** A session that is this request's, or one that is a blob already. */
export type Claimed =
  | { readonly _tag: "claimed"; readonly session: UploadSession; readonly chunks: ReadonlyArray<StagedChunk> }
  | { readonly _tag: "done"; readonly session: UploadSession; readonly digest: Digest }

/** How often somebody who waits for another looks again. */
const pollMillis = 500

/** Runs `use` with a claim, not taken yet, that is given back unless `use` says that there is none any more. */
export const claiming = <A, E, R>(
  keeper: Keeper,
  ref: SessionRef,
  use: (claim: Claim) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(KeyNonce, (nonce) => {
    const claim: Claim = { ref, token: nonce(), isHeld: false }
    return Effect.onExit(
      Effect.suspend(() => use(claim)),
      () => (claim.isHeld ? release(keeper, claim) : Effect.void)
    )
  })

/** Takes the session, waiting for whoever has it. */
export const take = Effect.fnUntraced(function* (keeper: Keeper, claim: Claim) {
  const { sessions } = keeper.database
  const { ref } = claim
  const deadline = (yield* Clock.currentTimeMillis) + keeper.busyWaitMillis
  for (;;) {
    const now = yield* Clock.currentTimeMillis
    // Before it is asked for: an answer that is lost is a claim all the same.
    claim.isHeld = true
    const outcome = yield* sessions.claim(now, ref, leaseOf(keeper, claim, now))
    if (outcome._tag === "claimed") return outcome
    claim.isHeld = false
    if (outcome._tag === "done") return outcome
    if (outcome._tag === "unknown") return yield* new UploadUnknown({ ...ref })
    if (now >= deadline) return yield* new UploadBusy({ id: ref.id })
    yield* Effect.sleep(Math.min(pollMillis, deadline - now))
  }
})

/** Renews the claim every third of its lease while the upload is alive; succeeds when it is somebody else's. */
export const untilLost = Effect.fnUntraced(function* (keeper: Keeper, claim: Claim, flow: Flow) {
  const beat = Effect.gen(function* () {
    const isOurs = yield* stillHeld(keeper, claim).pipe(
      // The next third comes before the lease ends.
      Effect.catch((error) =>
        Effect.as(Effect.logWarning("The claim of an upload session could not be renewed", error), true)
      )
    )
    if (!isOurs) return yield* Effect.fail("lost" as const)
  })
  return yield* Effect.flip(whileAlive(flow, keeper.finishLeaseMillis / 3, beat))
})

/** Renews the claim; false when it is not ours any more. */
export const stillHeld = Effect.fnUntraced(function* (keeper: Keeper, claim: Claim) {
  const now = yield* Clock.currentTimeMillis
  return yield* keeper.database.sessions.renewClaim(now, claim.ref, leaseOf(keeper, claim, now))
})

const leaseOf = ({ finishLeaseMillis }: Keeper, { token }: Claim, now: number): Lease => ({
  token,
  until: now + finishLeaseMillis
})

const release = Effect.fnUntraced(function* ({ database }: Keeper, { ref, token }: Claim) {
  const now = yield* Clock.currentTimeMillis
  yield* Effect.catch(database.sessions.release(now, ref, token), (error) =>
    Effect.logWarning("An upload session could not be given back; its lease will end by itself", error)
  )
})
