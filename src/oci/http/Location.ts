/**
 * Addresses that the registry gives out. All begin with `/v2/`: a `Location` without a leading slash or scheme is taken
 * for a host by containerd, and the host by which a client came here is not known behind a proxy.
 */
import type { Digest } from "../../domain/Digest.ts"

export const blobAt = (repository: string, digest: Digest): Readonly<Record<string, string>> => ({
  location: `/v2/${repository}/blobs/${digest}`,
  "docker-content-digest": digest
})

export const manifestAt = (repository: string, digest: Digest): Readonly<Record<string, string>> => ({
  location: `/v2/${repository}/manifests/${digest}`,
  "docker-content-digest": digest
})

/**
 * Where an upload goes on. The offset is in the address, so that a chunk without `Content-Range` that is sent again to
 * the address it was sent to before is not appended twice.
 *
 * `Range` names the last byte, and of an empty session byte 0, since clients cannot read `0--1`.
 */
export const uploadAt = (
  repository: string,
  id: string,
  receivedBytes: number
): Readonly<Record<string, string>> => ({
  location: `/v2/${repository}/blobs/uploads/${id}?_o=${receivedBytes}`,
  range: `0-${Math.max(0, receivedBytes - 1)}`,
  "docker-upload-uuid": id
})

/** RFC 8288: where the next page is. */
export const nextPage = (
  path: string,
  query: Readonly<Record<string, string>>
): Readonly<Record<string, string>> => ({
  link: `<${path}?${new URLSearchParams(query)}>; rel="next"`
})
