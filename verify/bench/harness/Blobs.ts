/**
 * Which blobs a data set has, made from a seed: the same seed and size give the same digests, orphans and references.
 *
 * Digests are hashes and orphans are drawn, so in a catalogue that is filled in order of creation they lie scattered
 * over heap and index, as they do where garbage comes about by itself.
 */
import { createHash } from "node:crypto"
import { insist } from "./Question.ts"

export interface Shape {
  readonly seed: number
  readonly blobs: number
  /** Of the blobs, those that nothing refers to. */
  readonly orphans: number
}

export interface Blob {
  readonly digest: string
  readonly key: string
}

/** The blobs of a data set, by number in order of creation. */
export interface Blobs {
  readonly shape: Shape
  readonly indices: ReadonlyArray<number>
  readonly at: (index: number) => Blob
  readonly isOrphan: (index: number) => boolean
  /** The keys of the blobs that are wanted. */
  readonly keys: (wanted: (index: number) => boolean) => Set<string>
}

/** Small, because rows and requests are measured and not bytes. */
export const sizeBytes = 1024

/** All keys are below `prefix`, which must need no escaping in a URL. */
export const make = (shape: Shape, prefix: string): Blobs => {
  const { seed, blobs, orphans } = shape
  insist(orphans > 0, "a data set without orphans measures nothing")
  insist(blobs > orphans, `${orphans} orphans among ${blobs} blobs leave none that is referenced`)
  const indices = Array.from({ length: blobs }, (_, index) => index)
  const flags = chosen(shape)
  const at = (index: number): Blob => {
    const hex = createHash("sha256").update(`${seed}:${index}`).digest("hex")
    // The form of the blob store's own keys; the nonce is as long as a UUID.
    const nonce = `${hex.slice(8, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 24)}-${hex.slice(24, 28)}-${hex.slice(28, 40)}`
    return { digest: `sha256:${hex}`, key: `${prefix}blobs/sha256/${hex.slice(0, 2)}/${hex}/${nonce}` }
  }
  return {
    shape,
    indices,
    at,
    isOrphan: (index) => flags[index] === 1,
    keys: (wanted) => new Set(indices.filter(wanted).map((index) => at(index).key))
  }
}

/** mulberry32: small, seeded, and good enough to scatter rows. Numbers in [0, 1). */
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

/** Exactly `orphans` of `blobs` indices, each set of them equally likely (Knuth, TAOCP 2, 3.4.2, algorithm S). */
const chosen = ({ seed, blobs, orphans }: Shape): Uint8Array => {
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
