/** Checks independently what a sweep did: reads every blob back and lists the whole store. */
import { createHash } from "node:crypto"
import { Effect, Option, Result, Stream } from "effect"
import { BlobStore } from "../../blobs/BlobStore.ts"
import { BlobDatabase } from "../../database/Database.ts"
import { type Digest, fromSha256Hex } from "../../domain/Digest.ts"
import { Storage } from "../../storage/Storage.ts"

/** What must be true after the sweeps. */
export interface Expectation {
  /** Blobs that must be readable and hash to their digest. */
  readonly kept: ReadonlySet<Digest>
  /** Blobs that must have no row. */
  readonly gone: ReadonlySet<Digest>
  /** Staged objects that must exist, and no others. */
  readonly staged: ReadonlySet<string>
  /** Prefix of staged uploads. */
  readonly uploadPrefix: string
  /** Prefix of blobs. */
  readonly blobPrefix: string
}

/** What is true after the sweeps. */
export interface Findings {
  /** Blobs that were read back, and hash to their digest. */
  readonly readable: number
  /** Blobs that must be readable and are not. */
  readonly unreadable: number
  /** Orphans without a row. */
  readonly goneRows: number
  /** Orphans that still have a row. */
  readonly remainingRows: number
  /** Objects below the blob prefix. */
  readonly objects: number
  /** Objects below the blob prefix that no blob owns. */
  readonly leakedObjects: number
  /** Fresh staged chunks that still exist. */
  readonly stagedKept: number
  /** Staged chunks that are wrongly kept or lost. */
  readonly stagedWrong: number
}

/** Reads every kept blob, looks up every deleted one, and lists the store. */
export const verify = Effect.fnUntraced(function* (expected: Expectation) {
  const blobs = yield* BlobDatabase
  const storage = yield* Storage
  const readable = yield* countWhere(expected.kept, hashesToItself)
  const goneRows = yield* countWhere(expected.gone, (digest) =>
    Effect.map(blobs.locate(digest), Option.isNone)
  )
  let objects = 0
  let leakedObjects = 0
  yield* Stream.runForEach(storage.list(expected.blobPrefix), (page) =>
    Effect.gen(function* () {
      const owned = yield* blobs.owned(page.map((object) => object.key))
      objects += page.length
      leakedObjects += page.length - owned.size
    })
  )
  const staged = yield* Stream.runCollect(Stream.flattenIterable(storage.list(expected.uploadPrefix)))
  const stagedKept = staged.filter((object) => expected.staged.has(object.key)).length
  const findings: Findings = {
    readable,
    unreadable: expected.kept.size - readable,
    goneRows,
    remainingRows: expected.gone.size - goneRows,
    objects,
    leakedObjects,
    stagedKept,
    stagedWrong: staged.length - stagedKept + (expected.staged.size - stagedKept)
  }
  return findings
})

/** Returns whether nothing is wrong. */
export const isGood = (findings: Findings): boolean =>
  findings.unreadable + findings.remainingRows + findings.leakedObjects + findings.stagedWrong === 0

const countWhere = <E, R>(
  digests: ReadonlySet<Digest>,
  holds: (digest: Digest) => Effect.Effect<boolean, E, R>
) =>
  Effect.map(
    Effect.forEach(digests, holds, { concurrency: 8 }),
    (answers) => answers.filter((answer) => answer).length
  )

const hashesToItself = Effect.fnUntraced(function* (digest: Digest) {
  const store = yield* BlobStore
  const hash = createHash("sha256")
  const read = yield* Effect.result(
    Stream.runForEach(store.open(digest), (chunk) => Effect.sync(() => hash.update(chunk)))
  )
  return Result.isSuccess(read) && fromSha256Hex(hash.digest("hex")) === digest
})
