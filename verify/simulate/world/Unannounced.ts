/**
 * Unannounced writers: programs that know nothing of the protocol. Each looks for a row, sends the bytes under
 * the key that follows from the digest if there is none, inserts the row if there is still none, and refers to
 * it.
 */

import { Duration, Effect, Exit, Stream } from "effect"
import { keyOf, type Reference } from "../../../src/artifacts/Artifacts.ts"
import { unannouncedWriter } from "../../../src/database/Memory.ts"
import { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { simulated } from "../../../src/testing/simulation/Simulation.ts"
import { type Actor, checkFailure } from "./Actor.ts"
import { derivedKey } from "./Contents.ts"
import { send, type Verb } from "./Verb.ts"
import { someContent, someName } from "./Writers.ts"

/** Stores one blob with a reference. A writer that is refused tries again with its next unit of work. */
export const writeUnannounced = Effect.fnUntraced(function* (actor: Actor) {
  const { process, world } = actor
  const { count, oracle, rng, time } = world
  const { bytes, digest } = someContent(world)
  const key = derivedKey(digest)
  const database = unannouncedWriter(world.rows)
  const lookedAt = time.now()
  const found = yield* Effect.exit(ask(actor, "unannounced.look", [digest], database.look(digest)))
  if (Exit.isFailure(found)) return yield* checkFailure(actor, found.cause, "a look for a row")
  if (!found.value) {
    const storage = yield* Storage
    const put = yield* Effect.exit(storage.put(key, Stream.make(bytes), bytes.length))
    if (Exit.isFailure(put)) return yield* checkFailure(actor, put.cause, "an unannounced upload")
  }
  if (rng.chance(0.3)) yield* actor.pause
  const row = Effect.suspend(() => {
    const now = time.now()
    return database.insert(digest, { key, sizeBytes: bytes.length, createdAt: now, lastUsedAt: now })
  })
  const inserted = yield* Effect.exit(
    ask(actor, "unannounced.insert", [digest, key], inTime(actor, lookedAt, row))
  )
  if (Exit.isFailure(inserted)) return yield* checkFailure(actor, inserted.cause, "an unannounced insert")
  if (rng.chance(0.3)) yield* actor.pause
  const reference: Reference = { ...someName(world), digest }
  oracle.asked(process, [reference])
  const referred = yield* Effect.exit(
    ask(
      actor,
      "unannounced.refer",
      [[reference]],
      database.refer(keyOf(reference).table, keyOf(reference).id, reference)
    )
  )
  const isWritten = Exit.isSuccess(referred) && referred.value === "written"
  oracle.answered(process, isWritten ? [reference] : [])
  if (Exit.isFailure(referred)) return yield* checkFailure(actor, referred.cause, "an unannounced reference")
  count(`unannounced: ${referred.value}`)
})

const ask = <A>(
  { process, world }: Actor,
  verb: Verb,
  args: ReadonlyArray<unknown>,
  effect: Effect.Effect<A, DatabaseError>
) => {
  const unknown = new DatabaseError({ operation: verb, reason: "Unavailable", detail: simulated })
  const traits = { isReadThenAct: verb !== "unannounced.refer" }
  return send(world.network, process, verb, args, world.durability.run(verb, effect), unknown, traits)
}

/** Ends a writer that takes longer than the collectors wait for it (GC_WRITER_PATIENCE). */
const inTime = <A>({ world }: Actor, lookedAt: number, effect: Effect.Effect<A, DatabaseError>) => {
  const { parameters, time } = world
  const { writerPatience } = parameters.settings
  const patience =
    writerPatience === null || writerPatience === undefined
      ? Number.POSITIVE_INFINITY
      : Duration.toMillis(writerPatience) - 2 * parameters.skewMillis
  return Effect.suspend(() =>
    time.now() - lookedAt < patience
      ? effect
      : Effect.fail(
          new DatabaseError({ operation: "unannounced.insert", reason: "Unavailable", detail: simulated })
        )
  )
}
