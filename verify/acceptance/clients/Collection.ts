/** What is left when everything but one image was deleted: that image, and nothing else anywhere. */
import assert from "node:assert/strict"
import { setTimeout as sleep } from "node:timers/promises"
import { makeLayer } from "./images.mjs"
import { ask, deleteManifest, named, tagsOf } from "./registry.mjs"
import { expectSame, skopeo } from "./skopeo.mjs"

/** The sum of the waits is below half of it; a busy machine takes the rest. */
const limitSeconds = 90

/** An upload of three chunks, each sent to the other replica, that is never closed. */
const giveUp = async ({ registry, behind, repositories }) => {
  const url = registry.balancer.url
  repositories.add("given/up")
  const chunk = makeLayer("given up", 100 * 1024).bytes
  let answer = await ask(`${url}/v2/given/up/blobs/uploads/`, { method: "POST", expected: 202 })
  for (const start of [0, 1, 2]) {
    const from = start * chunk.length
    answer = await ask(new URL(answer.headers.get("location"), url), {
      method: "PATCH",
      expected: 202,
      body: chunk,
      headers: {
        "content-type": "application/octet-stream",
        "content-range": `${from}-${from + chunk.length - 1}`
      }
    })
  }
  assert.equal((await behind.objects("uploads/")).length, 2, "the chunks after the first lie below uploads/")
}

const deleteAllButOne = async ({ registry, repositories, kept }) => {
  const url = registry.balancer.url
  for (const repository of repositories) {
    // A repository to which nothing was pushed in the end is none.
    const tags = await tagsOf(url, repository).catch(() => [])
    for (const tag of tags ?? []) {
      if (repository !== kept.repository || tag !== kept.tag) await deleteManifest(url, repository, tag)
    }
  }
}

/** What is still there that should not be, and what is missing; empty when all is as it should be. */
const surplus = async ({ behind, kept }) => {
  const wanted = new Set(kept.image.blobs.map(({ digest }) => digest))
  const blobs = await behind.blobs()
  const keys = new Set(await behind.objects())
  const rows = await behind.passingRows()
  const keysWanted = new Set([...wanted].map((digest) => blobs.get(digest)))
  return [
    ...[...wanted].filter((digest) => !blobs.has(digest)).map((digest) => `lost: the row of ${digest}`),
    ...[...keysWanted].filter((key) => !keys.has(key)).map((key) => `lost: the object ${key}`),
    ...[...blobs.keys()]
      .filter((digest) => !wanted.has(digest))
      .map((digest) => `left: the row of ${digest}`),
    ...[...keys].filter((key) => !keysWanted.has(key)).map((key) => `left: the object ${key}`),
    ...Object.entries(rows)
      .filter(([, count]) => count > 0)
      .map(([table, count]) => `left: ${count} rows of ${table}`)
  ]
}

const collect = async (context) => {
  const { behind } = context
  const before = (await behind.objects()).length
  await deleteAllButOne(context)
  const started = performance.now()
  for (;;) {
    const left = await surplus(context)
    const seconds = Math.round((performance.now() - started) / 1000)
    if (left.length === 0)
      return `${before} objects before, ${context.kept.image.blobs.length} after ${seconds} s`
    const isLost = left.some((each) => each.startsWith("lost"))
    if (isLost || seconds > limitSeconds)
      throw new Error(`after ${seconds} s:\n${left.slice(0, 40).join("\n")}`)
    await sleep(500)
  }
}

export const suite = (context) => ({
  checks: [
    ["an upload of three chunks can be given up", () => giveUp(context)],
    ["of all but one image nothing is left: no object, no row, no upload, no hold", () => collect(context)],
    [
      "that image is pulled as ever, each byte, by every way",
      async () => {
        const { repository, tag, image } = context.kept
        for (const url of Object.values(context.registry.ways)) {
          expectSame(await skopeo(context).pull(named(url, repository, tag)), image)
        }
      }
    ]
  ]
})
