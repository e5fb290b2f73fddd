/**
 * The blobs of a data set, made from a seed. The same seed and size give the same digests, orphans and
 * references.
 *
 * Digests are hashes, and orphans are drawn at random. So orphans are scattered over heap and index, as in a
 * catalogue that has been in use.
 */
import { createHash } from "node:crypto"
import { ensure } from "./Question.ts"

/** Describes a data set. */
export interface Shape {
  readonly seed: number
  readonly blobs: number
  /** Number of blobs without a reference. */
  readonly orphans: number
}

/** Identifies a blob. */
export interface Blob {
  readonly digest: string
  readonly key: string
}

/** The blobs of a data set, numbered in order of creation. */
export interface Blobs {
  readonly shape: Shape
  readonly indices: ReadonlyArray<number>
  /** Returns a blob. */
  readonly at: (index: number) => Blob
  /** Returns whether a blob has no reference. */
  readonly isOrphan: (index: number) => boolean
  /** Returns the keys of the blobs for which `isIncluded` is true. */
  readonly keys: (isIncluded: (index: number) => boolean) => Set<string>
}

/** Size of each object. Small, because rows and requests are measured and not bytes. */
export const sizeBytes = 1024

/** Makes the blobs. All keys begin with `prefix`, which must need no escaping in a URL. */
export const make = (shape: Shape, prefix: string): Blobs => {
  const { seed, blobs, orphans } = shape
  ensure(orphans > 0, "a data set without orphans measures nothing")
  ensure(blobs > orphans, `${orphans} orphans among ${blobs} blobs leave none that is referenced`)
  const indices = Array.from({ length: blobs }, (_, index) => index)
  const flags = orphanFlags(shape)
  const at = (index: number): Blob => {
    const hex = createHash("sha256").update(`${seed}:${index}`).digest("hex")
    // Keys have the form of the blob store's own, with a nonce as long as a UUID.
    const nonce = `${hex.slice(8, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 24)}-${hex.slice(24, 28)}-${hex.slice(28, 40)}`
    return { digest: `sha256:${hex}`, key: `${prefix}blobs/sha256/${hex.slice(0, 2)}/${hex}/${nonce}` }
  }
  return {
    shape,
    indices,
    at,
    isOrphan: (index) => flags[index] === 1,
    keys: (isIncluded) => new Set(indices.filter(isIncluded).map((index) => at(index).key))
  }
}

/** Creates a generator of numbers in [0, 1): mulberry32, small, seeded, and good enough to scatter rows. */
export const random = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/**
 * Chooses exactly `orphans` of `blobs` indices, each set with equal probability (Knuth, TAOCP 2, 3.4.2,
 * algorithm S).
 */
const orphanFlags = ({ seed, blobs, orphans }: Shape): Uint8Array => {
  const next = random(seed)
  const flags = new Uint8Array(blobs)
  let left = orphans
  for (let index = 0; index < blobs; index++) {
    if (next() * (blobs - index) < left) {
      flags[index] = 1
      left -= 1
    }
  }
  return flags
}
