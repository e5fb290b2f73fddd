/**
 * Pushes in many chunks, out of order, at the same offset on two replicas, against their own end, torn,
 * repeated.
 */
import assert from "node:assert/strict"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { type IncomingMessage, request } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { digestOf } from "../clients/Images.ts"
import type { Check } from "../clients/Report.ts"
import type { Replica } from "../Replicas.ts"
import { ask, expected, locationOf } from "./Answer.ts"
import { mebibytes } from "./Mebibytes.ts"
import type { World } from "./World.ts"

const peakMegabytes = ({ daemon }: Replica): number => {
  const status = readFileSync(`/proc/${daemon.pid}/status`, "utf8")
  return (Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024) / 1e6
}

/** What Node and one body take (verify/bench/README.md, `upload`), and half as much again. */
const peakMegabytesMax = 350

/** Asserts that the replicas never had more memory than {@link peakMegabytesMax}. */
const expectFlatMemory = ({ replicas }: World): string => {
  const peaks = replicas.map(peakMegabytes)
  assert.ok(Math.max(...peaks) < peakMegabytesMax, `the replicas had ${peaks.join(" and ")} MB`)
  return `the replicas had ${peaks.map(Math.round).join(" and ")} MB at most`
}

const emptyBlob = async (world: World): Promise<void> => {
  const digest = digestOf("")
  world.acknowledge(digest, await world.close(await world.open(), digest))
  await world.pull(digest)
}

const chunksOnBoth = async (world: World): Promise<void> => {
  const pieces = [0, 1, 2, 3, 4].map(() => randomBytes(100_000))
  let location = await world.open()
  for (const [index, piece] of pieces.entries()) {
    const start = index * 100_000
    const headers = index % 2 === 0 ? {} : { "content-range": `${start}-${start + 99_999}` }
    const answer = expected(await world.patch(location, piece, headers), 202)
    assert.equal(answer.headers.range, `0-${start + 99_999}`)
    location = locationOf(answer)
  }
  const digest = digestOf(Buffer.concat(pieces))
  world.acknowledge(digest, await world.close(location, digest))
  await world.pull(digest)
  world.acknowledge(digest, await world.close(location, digest))
}

const staleOrOutOfOrder = async (world: World): Promise<void> => {
  const first = await world.open()
  const [one, two] = [randomBytes(1000), randomBytes(1000)]
  const next = await world.append(first, one)
  const stale = expected(await world.patch(first, one), 416)
  assert.equal(stale.headers.range, "0-999")
  expected(await world.patch(next, two, { "content-range": "5000-5999" }), 416)
  const last = await world.append(locationOf(stale), two)
  const digest = digestOf(Buffer.concat([one, two]))
  expected(await world.close(last, digestOf("x")), 400)
  world.acknowledge(digest, await world.close(last, digest))
  await world.pull(digest)
}

const rivalChunks = async (world: World): Promise<void> => {
  for (let n = 0; n < 40; n++) {
    const location = await world.open()
    const rivals = [randomBytes(5000), randomBytes(5000)]
    const answers = await Promise.all(rivals.map((bytes) => world.patch(location, bytes)))
    assert.deepEqual(answers.map((answer) => answer?.status).sort(), [202, 416])
    const winner = rivals[answers.findIndex((answer) => answer?.status === 202)]
    assert.ok(winner)
    world.acknowledge(digestOf(winner), await world.close(location, digestOf(winner)))
  }
}

const chunkAgainstEnd = async (world: World): Promise<void> => {
  const bytes = randomBytes(5000)
  const location = await world.append(await world.open(), bytes)
  const [end, late] = await Promise.all([
    world.close(location, digestOf(bytes)),
    world.patch(location, randomBytes(10))
  ])
  // A chunk that is added in time makes it another blob. One that meets the end is told to wait, or that the session is over.
  if (expected(late, 202, 404, 503).status === 202) expected(end, 400, 404, 416)
  else world.acknowledge(digestOf(bytes), end)
}

const cancellationAgainstEnd = async (world: World): Promise<void> => {
  const bytes = randomBytes(5000)
  const location = await world.append(await world.open(), bytes)
  const [end, gone] = await Promise.all([
    world.close(location, digestOf(bytes)),
    ask(world.at(location), "DELETE")
  ])
  if (expected(gone, 204, 404).status === 204) expected(end, 404)
  else world.acknowledge(digestOf(bytes), end)
}

const tornChunk = async (world: World): Promise<void> => {
  for (const headers of [{ "content-length": 1_000_000 }, { "transfer-encoding": "chunked" }]) {
    const location = await world.open()
    const sending = request(world.at(location), { method: "PATCH", headers })
    sending.on("error", () => {})
    sending.write(randomBytes(300_000))
    await sleep(300)
    sending.destroy()
    await sleep(300)
    const status = expected(await ask(world.at(location), "GET"), 204)
    assert.equal(status.headers.range, "0-0")
    const bytes = randomBytes(1000)
    const next = await world.append(location, bytes)
    world.acknowledge(digestOf(bytes), await world.close(next, digestOf(bytes)))
  }
}

const manyChunks = async (world: World): Promise<string> => {
  const pieces = Array.from({ length: 512 }, () => randomBytes(20_000))
  let location = await world.open()
  for (const piece of pieces) location = await world.append(location, piece)
  const digest = digestOf(Buffer.concat(pieces))
  world.acknowledge(digest, await world.close(location, digest))
  await world.pull(digest)
  return expectFlatMemory(world)
}

const hugeChunk = async (world: World): Promise<string> => {
  const hash = createHash("sha256")
  for (const piece of mebibytes(2048)) hash.update(piece)
  const digest = `sha256:${hash.digest("hex")}`
  const location = await world.append(await world.open(), mebibytes(2048))
  expected(await world.close(location, digest), 201)
  const pulled = createHash("sha256")
  const getting = request(world.blobAt(digest))
  getting.end()
  const [answer] = (await once(getting, "response")) as [IncomingMessage]
  for await (const chunk of answer) pulled.update(chunk as Buffer)
  assert.equal(`sha256:${pulled.digest("hex")}`, digest)
  expected(await ask(world.blobAt(digest), "DELETE"), 202)
  return expectFlatMemory(world)
}

/** Returns the checks, in the order in which they are made. */
export const oddities = (world: World): ReadonlyArray<Check> => [
  { name: "a blob of no bytes can be pushed and pulled", run: () => emptyBlob(world) },
  {
    name: "chunks with and without Content-Range are put together, each on the other replica",
    run: () => chunksOnBoth(world)
  },
  {
    name: "a chunk at a stale address, or out of order, is refused with the offset at which the session continues",
    run: () => staleOrOutOfOrder(world)
  },
  {
    name: "of two chunks for the same offset on two replicas one wins, forty times",
    run: () => rivalChunks(world)
  },
  {
    name: "a chunk against the end, and a cancellation against it: one wins, forty times each",
    run: async () => {
      for (let n = 0; n < 40; n++) await chunkAgainstEnd(world)
      for (let n = 0; n < 40; n++) await cancellationAgainstEnd(world)
    }
  },
  { name: "a torn chunk leaves the session as it was", run: () => tornChunk(world) },
  { name: "512 small chunks, in flat memory", run: () => manyChunks(world) },
  { name: "a blob of 2 GiB in one chunk, in flat memory", run: () => hugeChunk(world) }
]
