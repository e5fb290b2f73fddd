/** Rows of manifests in memory: whether a tag names one, and what happens when it is taken away. */
import type { Digest } from "../../../domain/Digest.ts"
import { attachedTagsOf } from "../../Names.ts"
import type { UntaggedBy } from "../contract/Manifests.ts"
import { type ManifestRow, manifestId, type RegistryState } from "./RegistryState.ts"

/** Returns whether a tag names the manifest. */
export const isTagged = (state: RegistryState, { repository, digest }: ManifestRow): boolean =>
  [...state.tags.values()].some((tag) => tag.repository === repository && tag.digest === digest)

/** Records that a manifest lost a tag, an index or a subject that needed it. */
export const release = (
  state: RegistryState,
  now: number,
  repository: string,
  digest: Digest,
  by: UntaggedBy
): void => {
  const row = state.manifests.get(manifestId(repository, digest))
  if (row === undefined || isTagged(state, row)) return
  state.manifests.set(manifestId(repository, digest), { ...row, untaggedAt: now, untaggedBy: by })
}

/** Removes the tags that are about a manifest. */
export const untagAttached = (
  state: RegistryState,
  now: number,
  { digest, repository }: ManifestRow,
  by: UntaggedBy
): void => {
  const names = new Set(attachedTagsOf(digest))
  const attached = [...state.tags].filter(
    ([, tag]) =>
      tag.repository === repository &&
      (names.has(tag.name) || state.manifests.get(manifestId(repository, tag.digest))?.subject === digest)
  )
  for (const [id] of attached) state.tags.delete(id)
  for (const [, tag] of attached) release(state, now, repository, tag.digest, by)
}
