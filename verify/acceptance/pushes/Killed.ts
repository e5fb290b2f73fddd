/** Replicas killed while a request is under way; the upload continues at the other. */
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { digestOf } from "../clients/Images.ts"
import type { Check } from "../clients/Report.ts"
import { ask, expected, locationOf, type MaybeAnswer } from "./Answer.ts"
import { mebibyte, mebibytes } from "./Mebibytes.ts"
import type { Victim, World } from "./World.ts"

/** Kills the replica that gets the next request, a while after `send` sent it. */
const killDuring = async (
  world: World,
  millis: number,
  send: () => Promise<MaybeAnswer>
): Promise<Victim & { readonly answer: MaybeAnswer }> => {
  const victim = world.victim()
  const underWay = send()
  await sleep(millis)
  await victim.kill()
  return { ...victim, answer: await underWay }
}

const whileTakingChunk = async (world: World): Promise<void> => {
  for (const millis of [5, 50, 200]) {
    const location = await world.open()
    const { answer, other, revive } = await killDuring(world, millis, () =>
      world.patch(location, mebibytes(64))
    )
    const status = expected(await ask(new URL(location, other.url), "GET"), 204)
    const { range } = status.headers
    const full = `0-${64 * mebibyte - 1}`
    // Without an answer the chunk may have been added: only the answer was lost.
    const possible = answer?.status === 202 ? [full] : ["0-0", full]
    assert.ok(range !== undefined && possible.includes(range), range)
    if (range === "0-0") {
      const bytes = randomBytes(1000)
      const next = locationOf(
        expected(await ask(new URL(location, other.url), "PATCH", { body: bytes }), 202)
      )
      world.acknowledge(digestOf(bytes), await world.closeAt(other, next, digestOf(bytes)))
    }
    await revive()
  }
}

const whileFinishing = async (world: World): Promise<void> => {
  for (const millis of [2, 20, 60, 150]) {
    const pieces = [randomBytes(4 * mebibyte), randomBytes(4 * mebibyte)]
    let location = await world.open()
    for (const piece of pieces) location = await world.append(location, piece)
    const digest = digestOf(Buffer.concat(pieces))
    const { other, revive } = await killDuring(world, millis, () => world.close(location, digest))
    let again = await world.closeAt(other, location, digest)
    // The other replica answers 503 until the dead replica's lease ends.
    for (let tries = 0; again?.status === 503 && tries < 30; tries++) {
      await sleep(1000)
      again = await world.closeAt(other, location, digest)
    }
    world.acknowledge(digest, again)
    await world.pull(digest, other)
    await revive()
  }
}

/** Returns the checks, in the order in which they are made. */
export const killed = (world: World): ReadonlyArray<Check> => [
  {
    name: "a replica killed while it takes a chunk: the session is as it was, and continues at the other",
    run: () => whileTakingChunk(world)
  },
  {
    name: "a replica killed while it finishes: the closing request is repeated at the other and acknowledged",
    run: () => whileFinishing(world)
  }
]
