/**
 * Headers with addresses that clients use next. All addresses begin with `/v2/`. containerd takes a
 * `Location` without a leading slash or scheme for a host. Behind a proxy the registry does not know the host
 * that the client used.
 */
import type { Digest } from "../../domain/Digest.ts"

/** Returns the headers that locate a blob. */
export const blobAt = (repository: string, digest: Digest): Readonly<Record<string, string>> => ({
  location: `/v2/${repository}/blobs/${digest}`,
  "docker-content-digest": digest
})

/** Returns the headers that locate a manifest. */
export const manifestAt = (repository: string, digest: Digest): Readonly<Record<string, string>> => ({
  location: `/v2/${repository}/manifests/${digest}`,
  "docker-content-digest": digest
})

/**
 * Returns the headers that say where an upload continues. The address contains the offset. A chunk without
 * `Content-Range` that is sent twice to one address is therefore not appended twice.
 *
 * `Range` names the last byte. For an empty session it names byte 0, because clients cannot read `0--1`.
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

/** Returns the header `Link` to the next page (RFC 8288). */
export const nextPage = (
  path: string,
  query: Readonly<Record<string, string>>
): Readonly<Record<string, string>> => ({
  link: `<${path}?${new URLSearchParams(query)}>; rel="next"`
})
