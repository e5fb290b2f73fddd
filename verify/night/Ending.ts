/** What must be true in the morning: no acknowledged image is lost, and nothing else is left. */
import assert from "node:assert/strict"
import { setTimeout as sleep } from "node:timers/promises"
import { Client, digestOf, type Image, measured } from "../acceptance/ciDay/Team.ts"
import type { Check } from "../acceptance/clients/Report.ts"
import { openStored, type Stored } from "../acceptance/clients/Stored.ts"
import type { World } from "./World.ts"

/** All waits, the lease of a request that the store swallowed, and a search for leftovers, with time to spare. */
const settleMillis = 150_000

const accept = "application/vnd.oci.image.manifest.v1+json"

interface Manifest {
  readonly config: { readonly digest: string }
  readonly layers: ReadonlyArray<{ readonly digest: string }>
}

/** Returns what the tags of the registry need, by its own answers. */
const neededBy = async (client: Client): Promise<ReadonlySet<string>> => {
  const json = async (path: string) => JSON.parse(String((await client.ask("GET", path, {}, 200)).body))
  const needed = new Set<string>()
  for (const repository of (await json("/v2/_catalog?n=1000")).repositories) {
    for (const tag of (await json(`/v2/${repository}/tags/list?n=1000`)).tags ?? []) {
      const { body } = await client.ask(
        "GET",
        `/v2/${repository}/manifests/${tag}`,
        { headers: { accept } },
        200
      )
      const { config, layers }: Manifest = JSON.parse(String(body))
      for (const digest of [digestOf(body), config.digest, ...layers.map((layer) => layer.digest)])
        needed.add(digest)
    }
  }
  return needed
}

/**
 * Returns the pins that a registry leaves where its database is lost between a manifest's bytes and its row. They last ten
 * minutes, longer than this waits.
 */
const pinsOf = async ({
  query
}: Stored): Promise<ReadonlyArray<{ readonly digest: string; readonly ends: boolean }>> =>
  await query(`SELECT digest::text AS digest,
    expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '10 minutes' AS ends FROM artifact_gc.pins`)

/** Returns the differences between what is needed and what there is. Empty when everything has settled. */
const differences = async (stored: Stored, byTags: ReadonlySet<string>): Promise<ReadonlyArray<string>> => {
  const pins = await pinsOf(stored)
  const { pins: _, ...passing } = await stored.passingRows()
  const rows = { ...passing, pins: pins.filter(({ ends }) => !ends).length }
  const blobs = await stored.blobs()
  const pinned = pins.map(({ digest }) => digest).filter((digest) => blobs.has(digest))
  const needed = new Set([...byTags, ...pinned])
  const keys = new Set(await stored.objects())
  const wanted = new Set([...needed].flatMap((digest) => blobs.get(digest) ?? []))
  return [
    ...[...needed].filter((digest) => !blobs.has(digest)).map((digest) => `lost: the row of ${digest}`),
    ...[...wanted].filter((key) => !keys.has(key)).map((key) => `lost: the object ${key}`),
    ...[...blobs.keys()]
      .filter((digest) => !needed.has(digest))
      .map((digest) => `left: the row of ${digest}`),
    ...[...keys].filter((key) => !wanted.has(key)).map((key) => `left: the object ${key}`),
    ...Object.entries(rows).flatMap(([table, count]) =>
      count > 0 ? [`left: ${count} rows of ${table}`] : []
    )
  ]
}

/** Returns the checks. `images` were acknowledged, and no client asked to delete their tags. */
export const checks = (world: World, images: ReadonlyArray<Image>): ReadonlyArray<Check> => {
  const client = new Client(world.replicas[0]?.url ?? "", measured())
  return [
    {
      name: "every acknowledged image is whole",
      run: async () => {
        for (const image of images) await client.pull(image)
        return `${images.length} images`
      }
    },
    {
      name: "all garbage is deleted, and nothing else",
      run: async () => {
        const stored = openStored(world.servers)
        try {
          const began = performance.now()
          const needed = await neededBy(client)
          for (;;) {
            const found = await differences(stored, needed)
            const waited = performance.now() - began
            if (found.length === 0)
              return `${needed.size} objects are needed; settled after ${(waited / 1000).toFixed(0)} s`
            const isFinal = waited > settleMillis || found.some((text) => text.startsWith("lost"))
            assert.ok(!isFinal, found.slice(0, 20).join("\n"))
            await sleep(1000)
          }
        } finally {
          await stored.close()
        }
      }
    },
    {
      name: "the audit finds nothing",
      run: async () => {
        const { all, code } = await world.command("audit", "--deep")
        assert.equal(code, 0, all)
      }
    }
  ]
}
