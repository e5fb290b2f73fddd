/** What is left when all uploads have ended: what was acknowledged, and nothing else. */
import assert from "node:assert/strict"
import { setTimeout as sleep } from "node:timers/promises"
import type { Check } from "../clients/Report.ts"
import type { Stored } from "../clients/Stored.ts"
import type { World } from "./World.ts"

const limitMillis = 120_000

const settle = async (world: World, stored: Stored): Promise<string> => {
  const deadline = performance.now() + limitMillis
  for (;;) {
    const [objects, blobs, rows] = await Promise.all([stored.objects(), stored.blobs(), stored.passingRows()])
    const keys = [...blobs.values()]
    const [sessions] = await stored.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM artifact_gc.upload_sessions WHERE state <> 'done'"
    )
    // Pins keep what was acknowledged, and a session that is done remembers its answer.
    const { pins, upload_sessions: _, ...others } = rows
    const isClean =
      sessions?.n === 0 &&
      Object.values(others).every((count) => count === 0) &&
      objects.length === keys.length &&
      keys.every((key) => objects.includes(key)) &&
      !objects.some((key) => key.startsWith("uploads/"))
    if (isClean) {
      assert.deepEqual([...blobs.keys()].sort(), [...world.acknowledged].sort())
      assert.equal(pins, world.acknowledged.size)
      break
    }
    assert.ok(
      performance.now() < deadline,
      `after two minutes: ${objects.length} objects, ${keys.length} blobs, ${JSON.stringify(rows)}`
    )
    await sleep(1000)
  }
  for (const digest of world.acknowledged) await world.pull(digest)
  return `${world.acknowledged.size} blobs`
}

/** Returns the check to make last. */
export const settled = (world: World, stored: Stored): ReadonlyArray<Check> => [
  {
    name: "each acknowledged blob is there, each byte; nothing else is left: no object, no session, no journal",
    run: () => settle(world, stored)
  }
]
