/**
 * Pushes, pulls and deletions at once, with sweeps all the while and waits of seconds: images share layers with ones that
 * are being deleted, so that a push meets its layers in every state between held and gone.
 */
import assert from "node:assert/strict"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { makeImage, makeLayer, writeLayout } from "./images.mjs"
import { deleteManifest, named } from "./registry.mjs"
import { expectSame, skopeo } from "./skopeo.mjs"

const workers = 2

/** At least so long and so many pushes, and on until every state was met, but no longer than the limit. */
const atLeast = { seconds: 20, pushes: 30 }
const limitSeconds = 60

/** The longest rest of a shared layer: somewhat more than hold, grace, quarantine and two sweeps. */
const longestRestSeconds = 20

/** Layers that images share, each of which rests between its uses for another time up to the longest. */
const makePool = () => {
  const pool = Array.from({ length: 30 }, (_, index) => ({
    layer: makeLayer(`pool ${index}`, (index + 1) * 10 * 1024),
    uses: 0,
    usedAt: 0,
    restedAt: 0
  }))
  return {
    /** The layer that has been due for longest, or the one most lately used where none is. */
    take: (now) => {
      const [first] = pool.toSorted((a, b) => a.restedAt - b.restedAt)
      const [last] = pool.toSorted((a, b) => b.usedAt - a.usedAt)
      const taken = first.restedAt <= now ? first : last
      taken.restedAt = now + ((taken.uses * 4 + pool.indexOf(taken)) % longestRestSeconds)
      taken.uses += 1
      taken.usedAt = now
      return taken
    }
  }
}

/** What a push finds of a layer that was pushed before. */
const stateOf = async (behind, digest) => {
  const [row] = await behind.query(`
    SELECT b.digest IS NULL AS gone, o.condemned_at IS NOT NULL AS condemned, o.digest IS NOT NULL AS orphan
    FROM (SELECT '${digest}'::text AS digest) d
      LEFT JOIN public.blobs b USING (digest) LEFT JOIN artifact_gc.orphans o USING (digest)`)
  return ["gone", "condemned", "orphan"].find((state) => row[state]) ?? "kept"
}

const churn = async (context) => {
  const { folder, registry, repositories, behind } = context
  const { copy, pull } = skopeo(context)
  const pool = makePool()
  const url = registry.balancer.url
  const met = { kept: 0, orphan: 0, condemned: 0, gone: 0 }
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  let pushes = 0
  let failed = false

  const metAll = () => Object.values(met).every((times) => times > 0)
  const goesOn = () =>
    !failed &&
    seconds() < limitSeconds &&
    (seconds() < atLeast.seconds || pushes < atLeast.pushes || !metAll())

  const turn = async (repository, seed, tag) => {
    const shared = [pool.take(seconds()), pool.take(seconds())]
    const layers = [...new Set(shared.map(({ layer }) => layer)), makeLayer(seed, 16 * 1024)]
    const image = makeImage(seed, layers)
    const layout = writeLayout(join(folder, seed.replaceAll(" ", "-")), image)
    const name = named(url, repository, tag)
    for (const { layer, uses } of shared) {
      if (uses > 1) met[await stateOf(behind, layer.digest)] += 1
    }
    await copy(`oci:${layout}:image`, `docker://${name}`)
    pushes += 1
    expectSame(await pull(name), image)
    rmSync(layout, { recursive: true, force: true })
    return image.manifest.digest
  }

  const work = async (worker) => {
    const repository = `churn/worker-${worker}`
    repositories.add(repository)
    for (let number = 0; goesOn(); number++) {
      const digest = await turn(repository, `churn ${worker} ${number}`, `t${number}`)
      // By turns the manifest, which goes at once, and the tag, which leaves it to the collector.
      await deleteManifest(url, repository, number % 2 === 0 ? digest : `t${number}`)
    }
  }

  const ends = await Promise.allSettled(
    Array.from({ length: workers }, (_, worker) =>
      work(worker).catch((error) => {
        failed = true
        throw error
      })
    )
  )
  const first = ends.find(({ status }) => status === "rejected")
  if (first) throw first.reason
  const summary = Object.entries(met).map(([state, times]) => `${state} ${times} times`)
  assert.ok(pushes >= atLeast.pushes, `${pushes} pushes in ${Math.round(seconds())} s are too few to tell`)
  assert.ok(metAll(), `not every state was met; of the shared layers were ${summary.join(", ")}`)
  return `${pushes} pushes, which found a shared layer ${summary.join(", ")}`
}

export const suite = (context) => ({
  checks: [
    ["no push fails while sweeps run, and each pull after a push has the right bytes", () => churn(context)]
  ]
})
