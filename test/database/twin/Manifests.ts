/**
 * What the comparison of backends does with a registry's catalogue. What a manifest refers to changes from push to push,
 * and indexes may list each other: no registry does that, and the backends must agree nevertheless.
 */
import { Effect } from "effect"
import type { ManifestReference } from "../../../src/oci/database/RegistryDatabase.ts"
import { holdId } from "../../../src/oci/Names.ts"
import type { Database } from "../../fixtures/Database.ts"
import { digest, minute, now } from "../../fixtures/samples.ts"
import {
  app,
  child,
  config,
  layer,
  manifest,
  manifestRow,
  tagRow
} from "../../oci/database/contract/Manifests.ts"

export const manifestVerbs = [
  "push",
  "push",
  "push",
  "push",
  "pull",
  "untag",
  "remove",
  "end",
  "end",
  "list"
] as const

export interface ManifestCommand {
  readonly verb: (typeof manifestVerbs)[number]
  readonly a: number
  readonly b: number
  readonly flag: boolean
  readonly at: number
}

const instant = (at: number): number => now + at * 15 * minute

/** A manifest of each blob that is not referenced otherwise: tagged, untagged, or about the first. */
export const manifestRows = (given: ReadonlyArray<{ readonly used: number; readonly state: number }>) => {
  const numbered = given.map(({ used, state }, n) => ({ used, state, n })).filter(({ state }) => state > 0)
  return {
    manifests: numbered.map(({ used, state, n }) =>
      manifestRow(n, state === 1 ? null : instant(used), [layer((n + 1) % 8), config((n * 3) % 8)], {
        subject: state === 3 ? digest(0) : null
      })
    ),
    tags: numbered.filter(({ state }) => state === 1).map(({ n }) => tagRow(`t${n}`, n))
  }
}

/** Layers of a manifest, or what an index lists, which may be itself. */
const referencesOf = ({ a, b, flag }: ManifestCommand): ReadonlyArray<ManifestReference> => {
  if (b < 3) return [config(b), layer((a + b) % 8), layer(b)]
  return flag ? [child(b % 8), layer(b)] : b < 6 ? [child(b), child((a + 1) % 8)] : []
}

/** Runs one command; what is repeated must answer the same on both. */
export const runManifest = (
  { blobs, manifests, retention }: Database["Service"],
  c: ManifestCommand
): Effect.Effect<unknown, unknown> => {
  const at = instant(c.at)
  const repository = c.b === 7 ? "library/other" : app
  const tag = `t${c.a}`
  switch (c.verb) {
    case "push": {
      const change = {
        repository,
        subject: c.at % 3 === 0 ? digest(c.b) : null,
        artifactType: c.flag ? "t" : null,
        annotations: c.at % 2 === 0 ? { a: tag } : null
      }
      const options = {
        tags: c.at < 4 ? [tag, `t${c.b}`] : [],
        release: [`pin ${c.at % 5}`, holdId(repository, digest(c.a))]
      }
      const pin = { id: holdId(repository, digest(c.b)), digest: digest(c.b), expiresAt: at }
      return Effect.gen(function* () {
        if (c.flag) yield* blobs.adopt(at, [], { pins: [pin] })
        return yield* manifests.put(at, manifest(c.a, change), referencesOf(c), options)
      })
    }
    case "pull":
      return Effect.all([
        manifests.find(repository, { _tag: "Tag", tag }),
        manifests.find(repository, { _tag: "Digest", digest: digest(c.b) }),
        manifests.blob(repository, digest(c.a)),
        c.flag ? manifests.touch(at, repository, digest(c.b)) : Effect.void,
        retention.record(
          at,
          [
            { repository, name: { _tag: "Tag", tag }, at },
            { repository, name: { _tag: "Digest", digest: digest(c.b) }, at }
          ],
          { everyMillis: 2, isComplete: !c.flag }
        )
      ])
    case "untag":
      return c.flag
        ? Effect.flatMap(retention.tags([repository], null, c.b), (tags) =>
            retention.untag(at, repository, tags)
          )
        : manifests.untag(at, repository, tag)
    case "remove":
      return manifests.delete(at, repository, digest(c.a), { withReferrers: c.flag })
    case "end": {
      const since = instant(c.at - (c.a % 3))
      return Effect.all([
        manifests.untagged(since),
        manifests.exposure(c.flag ? since : null, instant(c.at), c.a),
        manifests.expire(at, since, c.b, { withReferrers: c.flag })
      ])
    }
    case "list":
      return Effect.all([
        manifests.tags(repository, c.flag ? tag : null, c.b),
        retention.state,
        retention.tags([app, repository], null, 100),
        retention.listed([c.a, c.b].map((n) => ({ repository, digest: digest(n) }))),
        retention.pushes(at),
        manifests.repositories(c.flag ? app : null, c.b),
        manifests.referrers(repository, digest(c.a), c.flag ? "t" : null, c.at > 4 ? digest(c.b) : null, 3)
      ])
  }
}
