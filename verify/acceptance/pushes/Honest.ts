/** Honest clients whose timing or load is unusual: none is refused, and none loses a byte. */
import assert from "node:assert/strict"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { Agent, type IncomingMessage, request } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { startBalancer } from "../../../tools/servers/Balancer.ts"
import { digestOf } from "../clients/Images.ts"
import type { Check } from "../clients/Report.ts"
import { ask, expected, locationOf } from "./Answer.ts"
import { mebibyte } from "./Mebibytes.ts"
import type { World } from "./World.ts"

function* piecesOf(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** Chunks of these sizes, and how many bytes of each. */
const sizes = [
  [1, 4000],
  [10, 200_000],
  [41, 500_000],
  [42, 500_000],
  [100, 1_000_000],
  [240, 2_000_000],
  [4096, 4_000_000],
  [32_768, 8_000_000]
] as const

const smallChunks = async (world: World): Promise<void> => {
  const balancer = await startBalancer({ targets: world.replicas.map(({ url }) => url) })
  try {
    for (const [size, length] of sizes) {
      const bytes = randomBytes(length)
      const location = await world.open()
      const body = piecesOf(bytes, size)
      const sent = expected(await ask(new URL(location, balancer.url), "PATCH", { body }), 202)
      world.acknowledge(digestOf(bytes), await world.close(locationOf(sent), digestOf(bytes)))
    }
  } finally {
    await balancer.close()
  }
}

const fiftyAtOnce = async (world: World): Promise<void> => {
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      const bytes = randomBytes(3 * mebibyte)
      const location = await world.append(await world.open(), piecesOf(bytes, 65_536))
      world.acknowledge(digestOf(bytes), await world.close(location, digestOf(bytes)))
    })
  )
}

/** Sends a body with a pause of `stallMillis` in its middle. */
const stalling = async (world: World, stallMillis: number): Promise<void> => {
  const bytes = randomBytes(3 * mebibyte)
  const sending = request(world.at(await world.open()), { method: "PATCH", agent: new Agent() })
  const answered = once(sending, "response")
  sending.write(bytes.subarray(0, mebibyte))
  await sleep(stallMillis)
  sending.end(bytes.subarray(mebibyte))
  const [answer] = (await answered) as [IncomingMessage]
  answer.resume()
  assert.equal(answer.statusCode, 202)
  const location = String(answer.headers.location)
  world.acknowledge(digestOf(bytes), await world.close(location, digestOf(bytes)))
}

/** More than the places of both replicas, so that those that stall lose theirs. */
const stalledBesideOthers = async (world: World): Promise<void> => {
  const stalls = Array.from({ length: 10 }, () => stalling(world, 5000))
  await Promise.all([...stalls, sleep(500).then(() => fiftyAtOnce(world))])
}

/** Pushes random bytes and returns their digest. */
const pushed = async (world: World, length: number): Promise<string> => {
  const bytes = randomBytes(length)
  const digest = digestOf(bytes)
  world.acknowledge(digest, await world.close(await world.append(await world.open(), bytes), digest))
  return digest
}

const slowReader = async (world: World): Promise<string> => {
  const [large, small] = [await pushed(world, 100 * mebibyte), await pushed(world, mebibyte)]
  const [replica] = world.replicas
  const blob = new URL(world.blobAt(large).pathname, replica.url)
  const getting = request(blob, { agent: new Agent() })
  getting.end()
  const [slow] = (await once(getting, "response")) as [IncomingMessage]
  const end = performance.now() + 10_000
  let pulls = 0
  // More than a replica has places.
  const fast = Promise.all(
    Array.from({ length: 30 }, async () => {
      for (; performance.now() < end; pulls += 1) await world.pull(small, replica)
    })
  )
  const hash = createHash("sha256")
  let read = 0
  while (performance.now() < end) {
    const piece = slow.read(5120) as Buffer | null
    if (piece !== null) hash.update(piece)
    read += piece?.length ?? 0
    await sleep(100)
  }
  await fast
  for await (const piece of slow) hash.update(piece as Buffer)
  assert.equal(`sha256:${hash.digest("hex")}`, large)
  return `${Math.round(read / 1024)} KiB in ten seconds, beside ${pulls} pulls`
}

/** Returns the checks, in the order in which they are made. */
export const honest = (world: World): ReadonlyArray<Check> => [
  {
    name: "bodies in chunks of 1 to 32,768 bytes, through a balancer, are stored",
    run: () => smallChunks(world)
  },
  { name: "of fifty pushes at once none is refused", run: () => fiftyAtOnce(world) },
  {
    name: "of ten bodies that stall for five seconds beside fifty pushes none is refused",
    run: () => stalledBesideOthers(world)
  },
  {
    name: "a reader at 50 KiB/s beside thirty fast ones gets all bytes of a blob of 100 MiB",
    run: () => slowReader(world)
  }
]
