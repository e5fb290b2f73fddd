/**
 * Pushes, pulls and deletions at once, with sweeps all the while and waits of seconds. Images share layers
 * with images that are being deleted, so a push finds its layers in every state between held and deleted.
 */
import assert from "node:assert/strict"
import { rmSync } from "node:fs"
import { join } from "node:path"
import type { Context } from "./Context.ts"
import { type Layer, makeImage, makeLayer, writeLayout } from "./Images.ts"
import { deleteManifest, named } from "./Registry.ts"
import type { Suite } from "./Report.ts"
import { expectSame, skopeo } from "./Skopeo.ts"
import type { Stored } from "./Stored.ts"

const workers = 2

/** The churn runs at least so long and makes so many pushes, and continues until every state was found. */
const atLeast = { seconds: 20, pushes: 30 }
const limitSeconds = 60

/** The longest pause of a shared layer: somewhat more than hold, grace, quarantine and two sweeps. */
const longestPauseSeconds = 20

interface SharedLayer {
  readonly layer: Layer
  readonly index: number
  uses: number
  usedAtSeconds: number
  /** When its pause ends. */
  dueAtSeconds: number
}

/** Layers that images share. Between its uses, each pauses for another time up to the longest. */
const makePool = (): { readonly take: (nowSeconds: number) => SharedLayer } => {
  const pool = Array.from(
    { length: 30 },
    (_, index): SharedLayer => ({
      layer: makeLayer(`pool ${index}`, (index + 1) * 10 * 1024),
      index,
      uses: 0,
      usedAtSeconds: 0,
      dueAtSeconds: 0
    })
  )
  return {
    /**
     * Takes the layer whose pause ended last, or the last one used if none is due. On a busy machine pushes are slow, and
     * then the layer that has been due for longest would always be deleted already.
     */
    take: (nowSeconds) => {
      const due = pool.filter(({ dueAtSeconds }) => dueAtSeconds <= nowSeconds)
      const last = pool.reduce((a, b) => (b.usedAtSeconds > a.usedAtSeconds ? b : a))
      const taken = due.reduce((a, b) => (b.dueAtSeconds > a.dueAtSeconds ? b : a), due[0] ?? last)
      taken.dueAtSeconds = nowSeconds + ((taken.uses * 4 + taken.index) % longestPauseSeconds)
      taken.uses += 1
      taken.usedAtSeconds = nowSeconds
      return taken
    }
  }
}

const states = ["gone", "condemned", "orphan"] as const

type State = "kept" | (typeof states)[number]

/** Returns the state in which a push finds a layer that was pushed before. */
const stateOf = async (stored: Stored, digest: string): Promise<State> => {
  const [row] = await stored.query<Record<(typeof states)[number], boolean>>(`
    SELECT b.digest IS NULL AS gone, o.condemned_at IS NOT NULL AS condemned, o.digest IS NOT NULL AS orphan
    FROM (SELECT '${digest}'::text AS digest) d
      LEFT JOIN public.blobs b USING (digest) LEFT JOIN artifact_gc.orphans o USING (digest)`)
  return states.find((state) => row?.[state]) ?? "kept"
}

const churn = async (context: Context): Promise<string> => {
  const { folder, registry, repositories, stored } = context
  const { copy, pull } = skopeo(context)
  const pool = makePool()
  const { url } = registry
  const found: Record<State, number> = { kept: 0, orphan: 0, condemned: 0, gone: 0 }
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  let pushes = 0
  let failed = false

  const foundAll = () => Object.values(found).every((times) => times > 0)
  const continues = () =>
    !failed &&
    seconds() < limitSeconds &&
    (seconds() < atLeast.seconds || pushes < atLeast.pushes || !foundAll())

  /** Pushes an image and pulls it again. Returns its manifest's digest. */
  const pushAndPull = async (repository: string, seed: string, tag: string): Promise<string> => {
    const shared = [pool.take(seconds()), pool.take(seconds())]
    const layers = [...new Set(shared.map(({ layer }) => layer)), makeLayer(seed, 16 * 1024)]
    const image = makeImage(seed, layers)
    const layout = writeLayout(join(folder, seed.replaceAll(" ", "-")), image)
    const name = named(url, repository, tag)
    for (const { layer, uses } of shared) {
      if (uses > 1) found[await stateOf(stored, layer.digest)] += 1
    }
    await copy(`oci:${layout}:image`, `docker://${name}`)
    pushes += 1
    expectSame(await pull(name), image)
    rmSync(layout, { recursive: true, force: true })
    return image.manifest.digest
  }

  const work = async (worker: number): Promise<void> => {
    const repository = `churn/worker-${worker}`
    repositories.add(repository)
    for (let number = 0; continues(); number++) {
      const digest = await pushAndPull(repository, `churn ${worker} ${number}`, `t${number}`)
      // By turns the manifest, which is deleted at once, and the tag: the manifest is then the collector's.
      await deleteManifest(url, repository, number % 2 === 0 ? digest : `t${number}`)
    }
  }

  const ends = await Promise.allSettled(
    Array.from({ length: workers }, (_, worker) =>
      work(worker).catch((error: unknown) => {
        failed = true
        throw error
      })
    )
  )
  const first = ends.find((end) => end.status === "rejected")
  if (first) throw first.reason
  const summary = Object.entries(found)
    .map(([state, times]) => `${state} ${times} times`)
    .join(", ")
  assert.ok(pushes >= atLeast.pushes, `${pushes} pushes in ${Math.round(seconds())} s are too few to tell`)
  assert.ok(foundAll(), `not every state was found; shared layers were ${summary}`)
  return `${pushes} pushes, which found a shared layer ${summary}`
}

export const suite = (context: Context): Suite => ({
  checks: [
    {
      name: "no push fails while sweeps run, and each pull after a push has the right bytes",
      run: () => churn(context)
    }
  ]
})
