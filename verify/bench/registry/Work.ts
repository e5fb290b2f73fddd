/** What a registry is asked to do: whole blobs in one chunk or several, tiny chunks, small blobs. Works on any registry. */
import { createHash } from "node:crypto"
import { ensure } from "../harness/Question.ts"
import { digestOf, pieces } from "../upload/Body.ts"
import { ask, drain, expected, repeat } from "./Client.ts"

const repository = "bench/bytes"

/** A body that the bench makes while it is sent. */
export interface Body {
  readonly start: number
  readonly sizeBytes: number
}

/** How a push is cut into chunks. */
export interface Chunks {
  readonly count: number
  /** Whether each chunk names its range, as clients of several chunks do. */
  readonly named: boolean
  /** Sends each request of the session to the next of these addresses. Default: the one registry. */
  readonly replicas?: ReadonlyArray<string>
}

/** Returns the address of a blob. */
export const blobAt = (base: string, digest: string): URL =>
  new URL(`/v2/${repository}/blobs/${digest}`, base)

/** Pulls from a bare socket. Fails unless all bytes arrived. */
export const whole = async (url: URL, sizeBytes: number): Promise<void> =>
  ensure((await drain(url)) === sizeBytes, "a pull has not the length of the blob")

/** Sends a body whole to an address. */
export const put = async (url: URL, { sizeBytes, start }: Body): Promise<unknown> =>
  expected(
    await ask(url, "PUT", { "content-length": String(sizeBytes) }, pieces(start, sizeBytes)),
    201,
    "PUT"
  )

const begun = async (base: string): Promise<URL> =>
  new URL(
    expected(
      await ask(new URL(`/v2/${repository}/blobs/uploads/`, base), "POST", { "content-length": "0" }),
      202,
      "POST"
    ).headers.location ?? "",
    base
  )

const closed = async (location: URL, digest: string) => {
  location.searchParams.set("digest", digest)
  expected(await ask(location, "PUT", { "content-length": "0" }), 201, "PUT")
}

const patched = async (
  location: URL,
  body: Iterable<Buffer>,
  headers: Record<string, string> = { "transfer-encoding": "chunked" }
): Promise<URL> => {
  const answer = expected(await ask(location, "PATCH", headers, body), 202, "PATCH")
  return new URL(answer.headers.location ?? "", location)
}

const rangeOf = (from: number, sizeBytes: number) => ({
  "content-range": `${from}-${from + sizeBytes - 1}`,
  "content-length": String(sizeBytes),
  "content-type": "application/octet-stream"
})

/** Returns the same path at another replica. */
const at = (location: URL, replicas: ReadonlyArray<string> | undefined, turn: number): URL => {
  const base = replicas?.[turn % replicas.length]
  return base === undefined ? location : new URL(`${location.pathname}${location.search}`, base)
}

/** Pushes a blob in a session. */
export const pushed = async (
  base: string,
  digest: string,
  { sizeBytes, start }: Body,
  { count, named, replicas }: Chunks
): Promise<void> => {
  let location = await begun(base)
  const chunkBytes = sizeBytes / count
  for (let chunk = 0; chunk < count; chunk++) {
    const from = chunk * chunkBytes
    const headers = named ? rangeOf(from, chunkBytes) : undefined
    location = await patched(at(location, replicas, chunk), pieces(start + from, chunkBytes), headers)
  }
  await closed(at(location, replicas, count), digest)
}

/** Tiny chunks of one push: sending them, and the closing request, so that each can be measured alone. */
export const tinyChunks = (base: string, chunks: number, seed: string) => {
  const bytes = Array.from({ length: chunks }, (_, index) => Buffer.alloc(10_000, `${seed} ${index}`))
  const digest = sha256(bytes)
  let location: URL | null = null
  return {
    digest,
    send: async () => {
      location = await begun(base)
      for (const chunk of bytes) location = await patched(location, [chunk])
    },
    close: async () => {
      ensure(location !== null, "the chunks were not sent")
      await closed(location, digest)
    }
  }
}

/** Small blobs, and what may be done with all of them, four at once. */
export const smallBlobs = (base: string, times: number, seed: string) => {
  const bodies = Array.from({ length: times }, (_, index) => Buffer.alloc(2_000, `${seed} small ${index}`))
  const digests = bodies.map((body) => sha256([body]))
  const each = (work: (index: number) => Promise<unknown>) => () => repeat(times, 4, work)
  return {
    push: each(async (index) => {
      const location = await patched(await begun(base), [bodies[index] ?? Buffer.alloc(0)])
      await closed(location, digests[index] ?? "")
    }),
    pull: each(async (index) => expected(await ask(blobAt(base, digests[index] ?? ""), "GET"), 200, "GET")),
    head: each(async (index) => expected(await ask(blobAt(base, digests[index] ?? ""), "HEAD"), 200, "HEAD"))
  }
}

/** Small objects of the floor: the paths begin with that of `url`. */
export const smallObjects = (url: URL, times: number) => {
  const at = (index: number) => new URL(`${url.pathname}${index}`, url)
  const each = (work: (index: number) => Promise<unknown>) => () => repeat(times, 4, work)
  return {
    put: each(async (index) =>
      expected(
        await ask(at(index), "PUT", { "content-length": "2000" }, [Buffer.alloc(2_000, index)]),
        201,
        "PUT"
      )
    ),
    get: each(async (index) => expected(await ask(at(index), "GET"), 200, "GET"))
  }
}

/** Uses what is measured later, so that no figure has the time in which Node compiles it. */
export const warm = async (base: string): Promise<void> => {
  const body = { start: 2 ** 45, sizeBytes: 16 * 1024 * 1024 }
  const digest = digestOf(body.sizeBytes, body.start)
  for (const count of [1, 4]) await pushed(base, digest, body, { count, named: count > 1 })
  for (let times = 0; times < 8; times++) await whole(blobAt(base, digest), body.sizeBytes)
  const small = smallBlobs(base, 40, "warm")
  await small.push()
  for (let times = 0; times < 5; times++) await small.pull()
  await small.head()
}

/** The same for the floor. */
export const warmObjects = async (url: URL): Promise<void> => {
  const body = { start: 0, sizeBytes: 16 * 1024 * 1024 }
  const large = new URL(`${url.pathname}large`, url)
  await put(large, body)
  for (let times = 0; times < 8; times++) await whole(large, body.sizeBytes)
  const small = smallObjects(url, 40)
  await small.put()
  for (let times = 0; times < 5; times++) await small.get()
}

const sha256 = (pieces: ReadonlyArray<Buffer>): string => {
  const hash = createHash("sha256")
  for (const piece of pieces) hash.update(piece)
  return `sha256:${hash.digest("hex")}`
}

/** Pulls a blob and compares its digest. */
export const verified = async (url: URL, digest: string): Promise<void> => {
  const hash = createHash("sha256")
  const answer = await fetch(url)
  for await (const chunk of answer.body ?? []) hash.update(chunk)
  ensure(`sha256:${hash.digest("hex")}` === digest, "the pulled bytes differ from the pushed ones")
}
