#!/usr/bin/env node
/**
 * What clients do not do, or do not mean to: pushes in many chunks, out of order, at the same offset on two replicas, against
 * their own end, torn, repeated; bodies of nothing and of gigabytes; and replicas killed in every phase. Two replicas of the
 * binary on PostgreSQL 15 and a real S3 server, with sweeps without a pause. In the end nothing may be left but what was
 * acknowledged and is held.
 *
 *   npm run test:pushes
 *
 * Exit codes: 0 when every check passed; 1 when any did not; 3 when this machine lacks something. ARTIFACT_GC_TEST_TALLY names
 * a file to which "pushes passed failed skipped" is appended.
 */
import assert from "node:assert/strict"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { appendFileSync, readFileSync } from "node:fs"
import { request } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { lookBehind } from "./clients/kept.mjs"
import { Report } from "./clients/report.mjs"
import { migrate, startReplica } from "./registry/replicas.mjs"
import { Group } from "./servers/processes.mjs"
import * as servers from "./servers.mjs"

const settings = {
  GC_INTERVAL: "1 second",
  GC_JITTER: "0 seconds",
  GC_GRACE: "1 second",
  GC_QUARANTINE: "1 second",
  // Longer than a dead replica's lease on what it was finishing.
  GC_UPLOAD_GRACE: "45 seconds",
  GC_BREAKER_PERCENT: "100",
  // As long as the checks take: what was acknowledged must be there until the last of them.
  REGISTRY_HOLD: "10 minutes",
  REGISTRY_UPLOAD_LEASE: "12 seconds",
  SERVE_IDLE_TIMEOUT: "10 seconds"
}

const repository = "odd/pushes"
const mebibyte = 1024 * 1024
const digestOf = (bytes) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** Whoever sends may go on, or never will. */
const drained = (sending) =>
  new Promise((resolve) => {
    const done = () => {
      for (const event of ["drain", "close"]) sending.off(event, done)
      resolve()
    }
    for (const event of ["drain", "close"]) sending.on(event, done)
  })

/** One request; its body may be bytes, or an iterable of them, which goes without a length. Null when it got no answer. */
const ask = async (url, method, { headers = {}, body = null } = {}) => {
  const framing = body === null || Buffer.isBuffer(body) ? { "content-length": body?.length ?? 0 } : {}
  const sending = request(url, { method, headers: { ...framing, ...headers } })
  // Also after the answer, when a replica dies.
  sending.on("error", () => {})
  const answered = once(sending, "response").then(
    ([answer]) => answer,
    () => null
  )
  if (Buffer.isBuffer(body)) sending.write(body)
  else if (body !== null) {
    for (const piece of body) {
      if (sending.destroyed) break
      if (!sending.write(piece)) await drained(sending)
    }
  }
  sending.end()
  const answer = await answered
  if (answer === null) return null
  const chunks = []
  try {
    for await (const chunk of answer) chunks.push(chunk)
  } catch {
    return null
  }
  return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }
}

const expected = (answer, ...statuses) => {
  assert.ok(statuses.includes(answer?.status), `${answer?.status}, not ${statuses}: ${answer?.body}`)
  return answer
}

/** Registry, and the digests that it acknowledged. */
const makeWorld = (group, found) => {
  const world = { replicas: [], acknowledged: new Set(), turn: 0 }
  world.start = async (index) => {
    const name = `replica-${index}-${randomBytes(3).toString("hex")}`
    world.replicas[index] = await startReplica(group, found, name, { settings })
  }
  /** Every call another one. */
  world.other = () => world.replicas[world.turn++ % 2].url
  world.at = (path) => new URL(path, world.other())
  world.open = async () => {
    const answer = expected(await ask(world.at(`/v2/${repository}/blobs/uploads/`), "POST"), 202)
    return answer.headers.location
  }
  world.patch = (location, body, headers = {}) => ask(world.at(location), "PATCH", { body, headers })
  world.close = async (location, digest, options) => {
    const url = world.at(location)
    url.searchParams.set("digest", digest)
    return await ask(url, "PUT", options)
  }
  world.acknowledge = (digest, answer) => {
    expected(answer, 201)
    world.acknowledged.add(digest)
  }
  world.pull = async (digest, by = world.other()) => {
    const answer = expected(await ask(new URL(`/v2/${repository}/blobs/${digest}`, by), "GET"), 200)
    assert.equal(digestOf(answer.body), digest)
  }
  return world
}

const peakMegabytes = ({ pid }) =>
  (Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024) / 1e6

/** What Node and one body take (verify/bench/README.md, `upload`), and half as much again. */
const peakMegabytesMax = 350

function* mebibytes(count) {
  const piece = Buffer.alloc(mebibyte, "artifact-gc ")
  for (let n = 0; n < count; n++) {
    piece.writeUInt32LE(n, 0)
    yield Buffer.from(piece)
  }
}

const oddities = (world) => [
  [
    "a blob of no bytes is one",
    async () => {
      const digest = digestOf("")
      world.acknowledge(digest, await world.close(await world.open(), digest))
      await world.pull(digest)
    }
  ],
  [
    "chunks with and without Content-Range are put together, each on the other replica",
    async () => {
      const pieces = [0, 1, 2, 3, 4].map(() => randomBytes(100_000))
      let location = await world.open()
      for (const [index, piece] of pieces.entries()) {
        const start = index * 100_000
        const headers = index % 2 === 0 ? {} : { "content-range": `${start}-${start + 99_999}` }
        const answer = expected(await world.patch(location, piece, headers), 202)
        assert.equal(answer.headers.range, `0-${start + 99_999}`)
        location = answer.headers.location
      }
      const digest = digestOf(Buffer.concat(pieces))
      world.acknowledge(digest, await world.close(location, digest))
      await world.pull(digest)
      world.acknowledge(digest, await world.close(location, digest))
    }
  ],
  [
    "a chunk on a stale address, or out of order, is refused with where the session goes on",
    async () => {
      const first = await world.open()
      const [one, two] = [randomBytes(1000), randomBytes(1000)]
      const next = expected(await world.patch(first, one), 202).headers.location
      const stale = expected(await world.patch(first, one), 416)
      assert.equal(stale.headers.range, "0-999")
      expected(await world.patch(next, two, { "content-range": "5000-5999" }), 416)
      const last = expected(await world.patch(stale.headers.location, two), 202).headers.location
      const digest = digestOf(Buffer.concat([one, two]))
      expected(await world.close(last, digestOf("x")), 400)
      world.acknowledge(digest, await world.close(last, digest))
      await world.pull(digest)
    }
  ],
  [
    "of two chunks for the same offset on two replicas one wins, forty times",
    async () => {
      for (let n = 0; n < 40; n++) {
        const location = await world.open()
        const rivals = [randomBytes(5000), randomBytes(5000)]
        const answers = await Promise.all(rivals.map((bytes) => world.patch(location, bytes)))
        assert.deepEqual(answers.map((answer) => answer.status).sort(), [202, 416])
        const winner = rivals[answers.findIndex(({ status }) => status === 202)]
        world.acknowledge(digestOf(winner), await world.close(location, digestOf(winner)))
      }
    }
  ],
  [
    "a chunk against the end, and a cancellation against it: one wins, forty times each",
    async () => {
      for (let n = 0; n < 40; n++) {
        const bytes = randomBytes(5000)
        const location = expected(await world.patch(await world.open(), bytes), 202).headers.location
        const [end, late] = await Promise.all([
          world.close(location, digestOf(bytes)),
          world.patch(location, randomBytes(10))
        ])
        // Whoever adds a chunk in time makes it another blob.
        if (expected(late, 202, 404, 416).status === 202) expected(end, 400, 404, 416)
        else world.acknowledge(digestOf(bytes), end)
      }
      for (let n = 0; n < 40; n++) {
        const bytes = randomBytes(5000)
        const location = expected(await world.patch(await world.open(), bytes), 202).headers.location
        const [end, gone] = await Promise.all([
          world.close(location, digestOf(bytes)),
          ask(world.at(location), "DELETE")
        ])
        if (expected(gone, 204, 404).status === 204) expected(end, 404)
        else world.acknowledge(digestOf(bytes), end)
      }
    }
  ],
  [
    "a torn chunk leaves the session as it was",
    async () => {
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
        const next = expected(await world.patch(location, bytes), 202).headers.location
        world.acknowledge(digestOf(bytes), await world.close(next, digestOf(bytes)))
      }
    }
  ],
  [
    "512 small chunks, in flat memory",
    async () => {
      const pieces = Array.from({ length: 512 }, () => randomBytes(20_000))
      let location = await world.open()
      for (const piece of pieces)
        location = expected(await world.patch(location, piece), 202).headers.location
      const digest = digestOf(Buffer.concat(pieces))
      world.acknowledge(digest, await world.close(location, digest))
      await world.pull(digest)
      return within(world)
    }
  ],
  [
    "a blob of 2 GiB in one chunk, in flat memory",
    async () => {
      const hash = createHash("sha256")
      for (const piece of mebibytes(2048)) hash.update(piece)
      const digest = `sha256:${hash.digest("hex")}`
      const location = expected(await world.patch(await world.open(), mebibytes(2048)), 202).headers.location
      expected(await world.close(location, digest), 201)
      const pulled = createHash("sha256")
      const getting = request(world.at(`/v2/${repository}/blobs/${digest}`))
      getting.end()
      const [answer] = await once(getting, "response")
      for await (const chunk of answer) pulled.update(chunk)
      assert.equal(`sha256:${pulled.digest("hex")}`, digest)
      expected(await ask(world.at(`/v2/${repository}/blobs/${digest}`), "DELETE"), 202)
      return within(world)
    }
  ]
]

const within = ({ replicas }) => {
  const peaks = replicas.map(peakMegabytes)
  assert.ok(Math.max(...peaks) < peakMegabytesMax, `the replicas had ${peaks.join(" and ")} MB`)
  return `the replicas had ${peaks.map(Math.round).join(" and ")} MB at most`
}

/** Kills the replica that has the next request while it is under way, and goes on with the other. */
const killed = (world) => {
  const during = async (millis, run) => {
    const index = world.turn % 2
    const underWay = run()
    await sleep(millis)
    await world.replicas[index].kill()
    const answer = await underWay
    const other = world.replicas[1 - index].url
    return { answer, other, revive: () => world.start(index) }
  }
  function* slowly(pieces) {
    yield* pieces
  }
  return [
    [
      "a replica killed while it takes a chunk: the session is as it was, and goes on at the other",
      async () => {
        for (const millis of [5, 50, 200]) {
          const location = await world.open()
          const { answer, other, revive } = await during(millis, () =>
            world.patch(location, slowly(mebibytes(64)))
          )
          const status = expected(await ask(new URL(location, other), "GET"), 204)
          const received = answer?.status === 202 ? 64 * mebibyte : 0
          const range = status.headers.range
          // It may have been done, and only the answer was lost.
          assert.ok(
            received > 0 ? range === `0-${received - 1}` : ["0-0", `0-${64 * mebibyte - 1}`].includes(range),
            range
          )
          if (range === "0-0") {
            const bytes = randomBytes(1000)
            const next = expected(await ask(new URL(location, other), "PATCH", { body: bytes }), 202).headers
              .location
            const url = new URL(next, other)
            url.searchParams.set("digest", digestOf(bytes))
            world.acknowledge(digestOf(bytes), await ask(url, "PUT"))
          }
          await revive()
        }
      }
    ],
    [
      "a replica killed while it finishes: the closing request is repeated at the other and acknowledged",
      async () => {
        for (const millis of [2, 20, 60, 150]) {
          const pieces = [randomBytes(4 * mebibyte), randomBytes(4 * mebibyte)]
          let location = await world.open()
          for (const piece of pieces)
            location = expected(await world.patch(location, piece), 202).headers.location
          const digest = digestOf(Buffer.concat(pieces))
          const { other, revive } = await during(millis, () => world.close(location, digest))
          const url = new URL(location, other)
          url.searchParams.set("digest", digest)
          let again = await ask(url, "PUT")
          // Until the dead one's lease ends.
          for (let tries = 0; again?.status === 503 && tries < 30; tries++) {
            await sleep(1000)
            again = await ask(url, "PUT")
          }
          world.acknowledge(digest, again)
          await world.pull(digest, other)
          await revive()
        }
      }
    ]
  ]
}

const settled = (world, behind) => [
  [
    "what was acknowledged is there, each byte; of all else nothing is left: no object, no session, no journal",
    async () => {
      const deadline = performance.now() + 120_000
      for (;;) {
        const [objects, blobs, { pins, ...rows }] = await Promise.all([
          behind.objects(),
          behind.blobs(),
          behind.passingRows()
        ])
        const keys = [...blobs.values()]
        const sessions = await behind.query(
          "SELECT count(*)::int AS n FROM artifact_gc.upload_sessions WHERE state <> 'done'"
        )
        const { upload_sessions: _, ...others } = rows
        const isClean =
          sessions[0].n === 0 &&
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
          `after two minutes there are ${objects.length} objects, ${keys.length} blobs, ${JSON.stringify(rows)}`
        )
        await sleep(1000)
      }
      for (const digest of world.acknowledged) await world.pull(digest)
      return `${world.acknowledged.size} blobs`
    }
  ]
]

const main = async () => {
  await servers.install()
  const group = new Group()
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => group.stop().finally(() => process.exit(1)))
  }
  const report = new Report()
  try {
    const found = await servers.up({ group })
    await migrate(group, found)
    const world = makeWorld(group, found)
    await Promise.all([world.start(0), world.start(1)])
    const behind = lookBehind(found)
    await report.suite({ checks: oddities(world) })
    await report.suite({ checks: killed(world) })
    await report.suite({ checks: settled(world, behind) })
    if (report.failed > 0) for (const replica of world.replicas) process.stdout.write(`${replica.log()}\n`)
    await behind.close()
  } finally {
    await group.stop()
  }
  const { passed, failed, skipped } = report
  if (process.env.ARTIFACT_GC_TEST_TALLY) {
    appendFileSync(process.env.ARTIFACT_GC_TEST_TALLY, `pushes ${passed} ${failed} ${skipped}\n`)
  }
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`)
  return failed === 0 && passed > 0 ? 0 : 1
}

main().then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`${error instanceof servers.Missing ? error.message : error.stack}\n`)
    process.exit(error instanceof servers.Missing ? 3 : 1)
  }
)
