/** A catalogue and its objects, which can be had in their first state again and again. */
import { randomBytes } from "node:crypto"
import * as Blobs from "./Blobs.ts"
import * as Bucket from "./Bucket.ts"
import * as Catalogue from "./Catalogue.ts"
import { insist } from "./Question.ts"
import type { Servers } from "./Servers.ts"

export interface Dataset {
  readonly shape: Blobs.Shape
  /** Below it are this data set's objects, and nothing else. */
  readonly prefix: string
  /** The URL of a fresh copy of the database. The store is as it is. */
  readonly freshRows: () => Promise<string>
  /** The same, with all objects in the store: puts back what is missing. */
  readonly fresh: () => Promise<string>
  /**
   * That exactly the orphans have lost their row and their object, and that the collector remembers nothing. Ends the
   * run otherwise.
   */
  readonly verify: (who: string) => Promise<void>
  /** The same of contenders that spoke to a stand-in for the store, which was told to delete `deleted`. */
  readonly verifyBeside: (who: string, deleted: ReadonlySet<string>) => Promise<void>
  /**
   * That exactly the rows of these keys, all of them orphans', are gone, and that no key waits to be deleted. What others
   * added to the catalogue meanwhile is not looked at.
   */
  readonly verifyPart: (who: string, deleted: ReadonlySet<string>) => Promise<void>
  /** That exactly these digests have lost row and object, whatever the collector remembers. */
  readonly verifySample: (who: string, gone: ReadonlySet<string>) => Promise<void>
  /** The same of one that spoke to a stand-in. */
  readonly verifySampleBeside: (
    who: string,
    gone: ReadonlySet<string>,
    deleted: ReadonlySet<string>
  ) => Promise<void>
  /** The same of rows alone, when nobody was to touch an object: that exactly the orphans have lost theirs. */
  readonly verifyRows: (who: string) => Promise<void>
  /** That exactly these digests have. */
  readonly verifyRowsGone: (who: string, digests: ReadonlyArray<string>) => Promise<void>
  /** That the collector remembers nothing. */
  readonly verifySettled: (who: string) => Promise<void>
  /** Removes all traces from servers that others use too. */
  readonly drop: () => Promise<void>
}

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
  let present: ReadonlySet<string> = new Set()

  const verifyObjects = async (who: string, isGone: (index: number) => boolean) => {
    const kept = blobs.keys((index) => !isGone(index))
    present = await bucket.keys(prefix)
    insist(
      same(present, kept),
      `${who} left ${present.size} objects, not exactly the ${kept.size} it had to keep`
    )
  }

  const verifyDeleted = (who: string, deleted: ReadonlySet<string>, isDead: (index: number) => boolean) => {
    const dead = blobs.keys(isDead)
    insist(same(deleted, dead), `${who} deleted ${deleted.size} keys, not exactly the ${dead.size} it had to`)
  }

  return {
    shape,
    prefix,
    freshRows: catalogue.fresh,
    fresh: async () => {
      const missing = [...blobs.keys(() => true)].filter((key) => !present.has(key))
      if (missing.length > 0) {
        log(`putting ${missing.length} objects`)
        await bucket.putAll(missing, Blobs.sizeBytes)
        await verifyObjects("putting", () => false)
      }
      return catalogue.fresh()
    },
    verify: async (who) => {
      await catalogue.verifySwept(who)
      await catalogue.verifySettled(who)
      await verifyObjects(who, blobs.isOrphan)
    },
    verifyBeside: async (who, deleted) => {
      await catalogue.verifySwept(who)
      await catalogue.verifySettled(who)
      verifyDeleted(who, deleted, blobs.isOrphan)
    },
    verifyPart: async (who, deleted) => {
      const orphans = blobs.keys(blobs.isOrphan)
      const wrong = [...deleted].filter((key) => !orphans.has(key))
      insist(
        wrong.length === 0,
        `${who} deleted ${wrong.length} keys that are no orphans', ${wrong[0]} among them`
      )
      await catalogue.verifyKeysGone(who, prefix, deleted)
    },
    verifySample: async (who, gone) => {
      await catalogue.verifyGone(who, [...gone])
      await verifyObjects(who, (index) => gone.has(blobs.at(index).digest))
    },
    verifySampleBeside: async (who, gone, deleted) => {
      await catalogue.verifyGone(who, [...gone])
      verifyDeleted(who, deleted, (index) => gone.has(blobs.at(index).digest))
    },
    verifyRows: catalogue.verifySwept,
    verifyRowsGone: catalogue.verifyGone,
    verifySettled: catalogue.verifySettled,
    drop: async () => {
      if (!s3.isThrowAway) {
        log("tidying up")
        await bucket.deleteAll([...(await bucket.keys(prefix))])
        await catalogue.drop()
      }
      bucket.close()
    }
  }
}

const same = (found: ReadonlySet<string>, expected: ReadonlySet<string>) =>
  found.size === expected.size && [...found].every((one) => expected.has(one))
