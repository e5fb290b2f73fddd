/** Deletes everything but one image, and checks that this image is left, and nothing else anywhere. */
import assert from "node:assert/strict"
import { setTimeout as sleep } from "node:timers/promises"
import type { Context } from "./Context.ts"
import { makeLayer } from "./Images.ts"
import { ask, deleteManifest, named, tagsOf } from "./Registry.ts"
import type { Suite } from "./Report.ts"
import { expectSame, skopeo } from "./Skopeo.ts"

/** The sum of the waits is below half of it. The rest is for a busy machine. */
const limitSeconds = 90

/**
 * Begins an upload of three chunks, each sent to another replica than the one before, and never closes it.
 */
const abandonUpload = async ({ registry, stored, repositories }: Context): Promise<void> => {
  const { url } = registry
  repositories.add("given/up")
  const chunk = makeLayer("given up", 100 * 1024).bytes
  let answer = await ask(`${url}/v2/given/up/blobs/uploads/`, { method: "POST", expected: 202 })
  for (const start of [0, 1, 2]) {
    const from = start * chunk.length
    answer = await ask(new URL(answer.headers.get("location") ?? "", url), {
      method: "PATCH",
      expected: 202,
      body: new Uint8Array(chunk),
      headers: {
        "content-type": "application/octet-stream",
        "content-range": `${from}-${from + chunk.length - 1}`
      }
    })
  }
  const staged = await stored.objects("uploads/")
  assert.equal(staged.length, 2, "the chunks after the first are below uploads/")
}

const deleteAllButOne = async ({ registry, repositories, kept }: Context): Promise<void> => {
  const { url } = registry
  for (const repository of repositories) {
    // A repository without a manifest does not exist.
    const tags = await tagsOf(url, repository).catch(() => [])
    for (const tag of tags ?? []) {
      if (repository !== kept.repository || tag !== kept.tag) await deleteManifest(url, repository, tag)
    }
  }
}

/**
 * Returns what is left that should be gone, and what is missing. Empty when everything is as it should be.
 */
const differences = async ({ stored, kept }: Context): Promise<ReadonlyArray<string>> => {
  const wanted = new Set(kept.image.blobs.map(({ digest }) => digest))
  const blobs = await stored.blobs()
  const keys = new Set(await stored.objects())
  const rows = await stored.passingRows()
  const keysWanted = new Set([...wanted].flatMap((digest) => blobs.get(digest) ?? []))
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

const collect = async (context: Context): Promise<string> => {
  const before = (await context.stored.objects()).length
  await deleteAllButOne(context)
  const started = performance.now()
  for (;;) {
    const found = await differences(context)
    const seconds = Math.round((performance.now() - started) / 1000)
    if (found.length === 0)
      return `${before} objects before, ${context.kept.image.blobs.length} after ${seconds} s`
    const isLost = found.some((each) => each.startsWith("lost"))
    if (isLost || seconds > limitSeconds)
      throw new Error(`after ${seconds} s:\n${found.slice(0, 40).join("\n")}`)
    await sleep(500)
  }
}

export const suite = (context: Context): Suite => ({
  checks: [
    { name: "an upload of three chunks can be given up", run: () => abandonUpload(context) },
    {
      name: "only one image is left: no other object, no other row, no upload, no hold",
      run: () => collect(context)
    },
    {
      name: "that image is still pulled, each byte, by every way",
      run: async () => {
        const { repository, tag, image } = context.kept
        for (const { url } of context.registry.ways) {
          expectSame(await skopeo(context).pull(named(url, repository, tag)), image)
        }
      }
    }
  ]
})
