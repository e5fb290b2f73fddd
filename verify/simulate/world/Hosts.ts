/**
 * Hosts: apps that call the collector and the blob store inside a transaction of their own, which then commits
 * or rolls back. Some of the verbs leave it, and others join it.
 */

import { Effect, Exit, Option } from "effect"
import { type Reference, referencesOf } from "../../../src/artifacts/Artifacts.ts"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import type { BlobDatabase } from "../../../src/database/Database.ts"
import {
  begin,
  commit,
  HostTransaction,
  type OpenTransaction,
  rollback
} from "../../../src/database/Memory.ts"
import { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { simulated } from "../../../src/testing/simulation/Simulation.ts"
import { type Actor, checkFailure } from "./Actor.ts"
import { closing } from "./Closing.ts"
import * as References from "./References.ts"
import * as Verb from "./Verb.ts"
import { push, someContent, someName } from "./Writers.ts"

/** What the host asked for inside its transaction, which takes effect with the commit. */
interface Joined {
  /** By statement: the references that it writes, and those that it may change. */
  readonly statements: Array<{
    readonly written: ReadonlyArray<Reference>
    readonly asked: ReadonlyArray<Reference>
  }>
  readonly pins: Array<() => void>
}

/** Does one transaction with a few statements. */
export const host = (actor: Actor) =>
  Effect.suspend(() => {
    const { process, world } = actor
    const { count, oracle, rng, rows } = world
    const joined: Joined = { statements: [], pins: [] }
    const gaveUp = () => {
      for (const statement of joined.statements) oracle.answered(statement, [])
      joined.statements.length = 0
    }
    const ends = Effect.fnUntraced(function* (transaction: OpenTransaction, mayCommit: boolean) {
      const changed = joined.statements.flatMap(({ asked }) => asked)
      const exit = yield* Effect.exit(
        mayCommit
          ? send(actor, "host.commit", [changed], commit(rows, transaction))
          : send(actor, "host.rollback", [], rollback(rows, transaction))
      )
      count(Exit.isFailure(exit) ? "host: unknown" : mayCommit ? "host: committed" : "host: rolled back")
      if (mayCommit && Exit.isSuccess(exit)) {
        for (const statement of joined.statements) oracle.answered(statement, statement.written)
        for (const pinned of joined.pins) pinned()
      }
      gaveUp()
      // A connection without an answer is closed, and the server rolls back.
      if (Exit.isFailure(exit)) world.network.late.push(closing(world, process, { transaction, gaveUp }))
      process.onKill = null
    })
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        const transaction = begin(rows)
        process.onKill = () => world.network.late.push(closing(world, process, { transaction, gaveUp }))
        return transaction
      }),
      (transaction) =>
        Effect.provideService(
          Effect.repeat(statement(actor, joined), { times: rng.below(3) }),
          HostTransaction,
          transaction
        ),
      (transaction, exit) => ends(transaction, Exit.isSuccess(exit) && rng.chance(0.6))
    ).pipe(Effect.ignore)
  })

const send = (
  { process, world }: Actor,
  verb: "host.commit" | "host.rollback",
  args: ReadonlyArray<unknown>,
  effect: Effect.Effect<void, DatabaseError>
) => {
  const unknown = new DatabaseError({ operation: verb, reason: "Unavailable", detail: simulated })
  return Verb.send(world.network, process, verb, args, effect, unknown)
}

const statement = (actor: Actor, joined: Joined) =>
  Effect.suspend((): Effect.Effect<void, "the host gives up", BlobDatabase | BlobStore | Sweep> => {
    switch (actor.world.rng.below(7)) {
      case 0:
        return Effect.asVoid(Effect.flatMap(Sweep, (sweep) => sweep.once()))
      case 1:
        return push(actor)
      case 2:
        return unrefer(actor, joined)
      case 3:
        return pin(actor, joined)
      case 4:
        return actor.pause
      default:
        return refer(actor, joined)
    }
  })

/** Fails the transaction after a failure that is no answer, as the app's own error handling does. */
const joining = Effect.fnUntraced(function* <A, E, R>(
  actor: Actor,
  joined: Joined,
  written: ReadonlyArray<Reference>,
  asked: ReadonlyArray<Reference>,
  effect: Effect.Effect<A, E, R>
) {
  const { oracle } = actor.world
  const statement = { written, asked }
  joined.statements.push(statement)
  oracle.asked(statement, asked)
  const exit = yield* Effect.exit(effect)
  if (Exit.isSuccess(exit)) return exit.value
  yield* checkFailure(actor, exit.cause, "a statement of a host", (tag) => tag === "BlobUnknown")
  return yield* Effect.fail("the host gives up" as const)
})

const refer = Effect.fnUntraced(function* (actor: Actor, joined: Joined) {
  const { world } = actor
  const { digest } = someContent(world)
  const store = yield* BlobStore
  if (Option.isNone(yield* Effect.orElseSucceed(store.stat(digest), () => Option.none()))) return
  const references: ReadonlyArray<Reference> = [{ ...someName(world), digest }]
  const { reference } = yield* References.referencesOf(actor)
  yield* joining(actor, joined, references, references, reference(references))
})

const unrefer = Effect.fnUntraced(function* (actor: Actor, joined: Joined) {
  const { rng, rows } = actor.world
  const references = referencesOf(rows)
  if (references.length === 0) return
  const removed = [rng.pick(references)]
  const { unreference } = yield* References.referencesOf(actor)
  yield* joining(actor, joined, [], removed, unreference(removed))
})

const pin = Effect.fnUntraced(function* (actor: Actor, joined: Joined) {
  const { oracle, parameters, time } = actor.world
  const { digest } = someContent(actor.world)
  const store = yield* BlobStore
  const millis = 30 * 60_000
  const began = time.now()
  const id = yield* joining(actor, joined, [], [], store.pin(digest, millis))
  if (Option.isNone(id)) return
  const until = began + millis + Math.min(0, actor.process.aheadMillis) - 2 * parameters.skewMillis
  joined.pins.push(() => {
    if (time.now() < until) oracle.pinned(id.value, digest, until)
  })
})
