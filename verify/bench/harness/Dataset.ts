/** A catalogue and its objects, which can be restored to their first state again and again. */
import { randomBytes } from "node:crypto"
import * as Blobs from "./Blobs.ts"
import * as Bucket from "./Bucket.ts"
import * as Catalogue from "./Catalogue.ts"
import { ensure } from "./Question.ts"
import type { Servers } from "./Servers.ts"

/** A data set. Each `verify…` fails with NoFigures if a variant did not leave what it should. */
export interface Dataset {
  readonly shape: Blobs.Shape
  /** All keys with this prefix belong to this data set. */
  readonly prefix: string
  /** Makes a fresh copy of the database and returns its URL. Does not change the store. */
  readonly freshRows: () => Promise<string>
  /** Does the same, and puts missing objects into the store. */
  readonly fresh: () => Promise<string>
  /**
   * Verifies that exactly the orphans lost row and object, and that the tables of the collector are empty.
   */
  readonly verify: (variant: string) => Promise<void>
  /** Verifies the same for a variant that used a fake store, which received deletes of `deleted`. */
  readonly verifyOnFakeStore: (variant: string, deleted: ReadonlySet<string>) => Promise<void>
  /**
   * Verifies that exactly the rows of these keys are deleted, that all of them are orphans, and that the
   * journal is empty. Ignores blobs that other writers have added.
   */
  readonly verifyPart: (variant: string, deleted: ReadonlySet<string>) => Promise<void>
  /** Verifies that exactly these digests lost row and object. Ignores the tables of the collector. */
  readonly verifySample: (variant: string, gone: ReadonlySet<string>) => Promise<void>
  /** Verifies the same for a variant that used a fake store. */
  readonly verifySampleOnFakeStore: (
    variant: string,
    gone: ReadonlySet<string>,
    deleted: ReadonlySet<string>
  ) => Promise<void>
  /** Verifies that exactly the orphans lost their rows. Ignores objects. */
  readonly verifyRows: (variant: string) => Promise<void>
  /** Verifies that exactly these digests lost their rows. */
  readonly verifyRowsGone: (variant: string, digests: ReadonlyArray<string>) => Promise<void>
  /** Verifies that the tables of the collector are empty. */
  readonly verifySettled: (variant: string) => Promise<void>
  /** Removes the data set from servers that are not thrown away. */
  readonly drop: () => Promise<void>
}

/** Makes a data set on the servers. */
export const load = async (
  { databaseUrl, s3 }: Servers,
  shape: Blobs.Shape,
  log: (text: string) => void
): Promise<Dataset> => {
  const id = randomBytes(4).toString("hex")
  const prefix = `artifact-gc-bench/${id}/`
  const blobs = Blobs.make(shape, prefix)
  const bucket = Bucket.open(s3)
  log(`writing ${shape.blobs} rows`)
  const catalogue = await Catalogue.load(databaseUrl, id, blobs)
  const objects = objectsOf(bucket, blobs, prefix)
  return {
    ...verifications(catalogue, objects, blobs, prefix),
    shape,
    prefix,
    freshRows: catalogue.fresh,
    fresh: async () => {
      await objects.putMissing(log)
      return catalogue.fresh()
    },
    drop: async () => {
      if (!s3.isThrowAway) {
        log("removing the data set")
        await bucket.deleteAll([...(await bucket.keys(prefix))])
        await catalogue.drop()
      }
      bucket.close()
    }
  }
}

type IsIncluded = (index: number) => boolean

/** The objects of a data set in the store. */
interface Objects {
  readonly putMissing: (log: (text: string) => void) => Promise<void>
  /** Verifies that exactly the objects of the blobs that are not `isGone` are in the store. */
  readonly verify: (variant: string, isGone: IsIncluded) => Promise<void>
}

const objectsOf = (bucket: Bucket.Bucket, blobs: Blobs.Blobs, prefix: string): Objects => {
  let present: ReadonlySet<string> = new Set()

  const verify = async (variant: string, isGone: IsIncluded) => {
    const kept = blobs.keys((index) => !isGone(index))
    present = await bucket.keys(prefix)
    ensure(
      same(present, kept),
      `${variant} left ${present.size} objects, not exactly the ${kept.size} it had to keep`
    )
  }

  return {
    verify,
    putMissing: async (log) => {
      const missing = [...blobs.keys(() => true)].filter((key) => !present.has(key))
      if (missing.length === 0) return
      log(`putting ${missing.length} objects`)
      await bucket.putAll(missing, Blobs.sizeBytes)
      await verify("putting", () => false)
    }
  }
}

const verifications = (
  catalogue: Catalogue.Catalogue,
  objects: Objects,
  blobs: Blobs.Blobs,
  prefix: string
): Omit<Dataset, "shape" | "prefix" | "freshRows" | "fresh" | "drop"> => {
  const verifyDeleted = (variant: string, deleted: ReadonlySet<string>, isDead: IsIncluded) => {
    const dead = blobs.keys(isDead)
    ensure(
      same(deleted, dead),
      `${variant} deleted ${deleted.size} keys, not exactly the ${dead.size} it had to`
    )
  }
  const isOneOf = (digests: ReadonlySet<string>) => (index: number) => digests.has(blobs.at(index).digest)
  return {
    verify: async (variant) => {
      await catalogue.verifySwept(variant)
      await catalogue.verifySettled(variant)
      await objects.verify(variant, blobs.isOrphan)
    },
    verifyOnFakeStore: async (variant, deleted) => {
      await catalogue.verifySwept(variant)
      await catalogue.verifySettled(variant)
      verifyDeleted(variant, deleted, blobs.isOrphan)
    },
    verifyPart: async (variant, deleted) => {
      const orphans = blobs.keys(blobs.isOrphan)
      const wrong = [...deleted].filter((key) => !orphans.has(key))
      ensure(
        wrong.length === 0,
        `${variant} deleted ${wrong.length} keys that are not orphans', for example ${wrong[0]}`
      )
      await catalogue.verifyKeysGone(variant, prefix, deleted)
    },
    verifySample: async (variant, gone) => {
      await catalogue.verifyGone(variant, [...gone])
      await objects.verify(variant, isOneOf(gone))
    },
    verifySampleOnFakeStore: async (variant, gone, deleted) => {
      await catalogue.verifyGone(variant, [...gone])
      verifyDeleted(variant, deleted, isOneOf(gone))
    },
    verifyRows: catalogue.verifySwept,
    verifyRowsGone: catalogue.verifyGone,
    verifySettled: catalogue.verifySettled
  }
}

const same = (found: ReadonlySet<string>, expected: ReadonlySet<string>) =>
  found.size === expected.size && [...found].every((one) => expected.has(one))
