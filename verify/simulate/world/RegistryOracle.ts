/** What must hold of a registry: tags, manifests, and the blobs that manifests need. */
import type { Reference } from "../../../src/artifacts/Artifacts.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import { type ManifestRow, manifestId, type RegistryState } from "../../../src/oci/database/Memory.ts"
import type { Time } from "../../../src/testing/simulation/Simulation.ts"
import * as Acknowledged from "./Acknowledged.ts"
import type { Executed } from "./Verb.ts"

/** All tags of a repository. Few, so that they move between manifests. */
export const tagNames: ReadonlyArray<string> = ["v1", "latest"]

/** A tag, in the form in which the oracle keeps references. */
export const tagOf = (repository: string, name: string, digest: Digest): Reference => ({
  _tag: "Artifact",
  repository,
  name,
  digest
})

/** Records what clients of a registry were told. */
export interface RegistryOracle {
  /** Tags that must exist, by id. */
  readonly tags: ReadonlyMap<string, Acknowledged.Acknowledged>
  /** Records that these tags are asked to be moved or removed. Until the answer, both are right. */
  readonly asked: (key: object, tags: ReadonlyArray<Reference>) => void
  /** Records that these tags were acknowledged, or that the request failed. */
  readonly answered: (key: object, tags: ReadonlyArray<Reference>) => void
  /** Records that a manifest was acknowledged, which stays until then without a tag. */
  readonly pushed: (repository: string, digest: Digest, until: number) => void
  /** Records the effect of a request. */
  readonly performed: (request: Pick<Executed, "verb" | "args">) => void
  /** Records the effect of a late request. */
  readonly executedLate: (request: Pick<Executed, "verb" | "args">) => void
  /** Forgets all, because the database was taken back. */
  readonly forget: () => void
  /** Returns what is broken, or null. */
  readonly check: () => string | null
}

/** Creates the oracle of a registry. `tagNames`: all tags that clients use. */
export const make = (rows: RegistryState, time: Time, clocksAreRight: boolean): RegistryOracle => {
  const acknowledged = Acknowledged.make()
  const kept = new Map<string, number>()
  const tagsOf = (repository: string) => tagNames.map((name) => tagOf(repository, name, "" as Digest))
  return {
    tags: acknowledged.all,
    asked: acknowledged.asked,
    answered: acknowledged.answered,
    pushed: (repository, digest, until) => {
      // A client whose clock is off dates its manifests wrongly.
      if (clocksAreRight && time.now() < until) kept.set(manifestId(repository, digest), until)
    },
    performed: ({ args, verb }) => {
      if (verb === "manifests.delete") kept.delete(manifestId(String(args[1]), String(args[2])))
    },
    executedLate: ({ args, verb }) => {
      if (verb === "manifests.put") {
        const [, { repository }, , { tags = [] } = {}] = args as Parameters<
          (
            now: number,
            manifest: ManifestRow,
            references: unknown,
            options?: { tags?: Array<string> }
          ) => void
        >
        acknowledged.overwritten(tags.map((name) => tagOf(repository, name, "" as Digest)))
      }
      if (verb === "manifests.untag")
        acknowledged.overwritten([tagOf(String(args[1]), String(args[2]), "" as Digest)])
      if (verb === "manifests.delete") acknowledged.overwritten(tagsOf(String(args[1])))
    },
    forget: () => {
      acknowledged.forget()
      kept.clear()
    },
    check: () => {
      if (rows.manifests.size === 0 && acknowledged.all.size === 0) return null
      return missingOf(rows) ?? lostTag(rows, acknowledged.all) ?? lostManifest(rows, kept, time)
    }
  }
}

const missingOf = (rows: RegistryState): string | null => {
  for (const { digest, references, repository } of rows.manifests.values()) {
    if (!rows.blobs.has(digest)) return `manifest ${digest} of ${repository} has no blob`
    for (const { digest: needed, kind } of references) {
      if (!rows.blobs.has(needed))
        return `manifest ${digest} of ${repository} needs blob ${needed}, which has no row`
      if (kind === "manifest" && !rows.manifests.has(manifestId(repository, needed)))
        return `index ${digest} of ${repository} lists manifest ${needed}, which has no row`
    }
  }
  for (const { digest, name, repository } of rows.tags.values())
    if (!rows.manifests.has(manifestId(repository, digest)))
      return `tag ${repository}:${name} names manifest ${digest}, which has no row`
  return null
}

const lostTag = (
  rows: RegistryState,
  acknowledged: ReadonlyMap<string, Acknowledged.Acknowledged>
): string | null => {
  for (const { reference } of acknowledged.values()) {
    if (reference._tag !== "Artifact") continue
    const { digest, name, repository } = reference
    if (rows.tags.get(manifestId(repository, name))?.digest !== digest)
      return `tag ${repository}:${name} was moved to ${digest} and is lost`
  }
  return null
}

const lostManifest = (rows: RegistryState, kept: Map<string, number>, time: Time): string | null => {
  for (const [id, until] of kept) {
    if (time.now() >= until) kept.delete(id)
    else if (!rows.manifests.has(id)) return `manifest ${id} was deleted within its grace period`
  }
  return null
}

/** Returns whether a tag, an index or a subject needs a manifest. */
export const isNeeded = ({ manifests, tags }: RegistryState, row: ManifestRow): boolean =>
  [...tags.values()].some((tag) => tag.repository === row.repository && tag.digest === row.digest) ||
  [...manifests.values()].some(
    (other) =>
      other.repository === row.repository &&
      other.references.some(({ digest, kind }) => kind === "manifest" && digest === row.digest)
  )
