/** How much space the repositories use, in memory. */
import { Effect } from "effect"
import type { Digest } from "../../../domain/Digest.ts"
import type { RepositorySize, Sizes } from "../contract/Sizes.ts"
import type { RegistryState } from "./RegistryState.ts"

/** Returns the verbs of sizes over `state`. */
export const sizes = (state: RegistryState): Sizes => ({
  largest: (limit) => Effect.sync(() => ({ share: 1, repositories: largest(state).slice(0, limit) }))
})

const largest = (state: RegistryState): ReadonlyArray<RepositorySize> => {
  const used = new Map<string, Set<Digest>>()
  const users = new Map<Digest, number>()
  for (const { digest, references, repository } of state.manifests.values()) {
    const digests = used.get(repository) ?? new Set()
    used.set(repository, digests)
    for (const one of [digest, ...references.map((reference) => reference.digest)]) {
      if (!digests.has(one)) users.set(one, (users.get(one) ?? 0) + 1)
      digests.add(one)
    }
  }
  const sum = (digests: Iterable<Digest>) =>
    [...digests].reduce((total, digest) => total + (state.blobs.get(digest)?.sizeBytes ?? 0), 0)
  const countOf = (rows: Iterable<{ readonly repository: string }>, repository: string) =>
    [...rows].filter((row) => row.repository === repository).length
  return [...used]
    .map(([repository, digests]) => ({
      repository,
      manifests: countOf(state.manifests.values(), repository),
      tags: countOf(state.tags.values(), repository),
      bytes: sum(digests),
      freedBytes: sum([...digests].filter((digest) => users.get(digest) === 1))
    }))
    .sort((a, b) => b.bytes - a.bytes || Buffer.compare(Buffer.from(a.repository), Buffer.from(b.repository)))
}
