/**
 * The store guard: a bucket that keeps versions frees nothing when an object is deleted, and somebody must have said
 * whether that is meant. A collector that nobody told would report bytes it never gave back, and the bucket would grow.
 */
import { Effect } from "effect"
import { StoreRefused } from "../../domain/Refusals.ts"
import { Storage, type StoreTraits } from "../../storage/Storage.ts"

const kept = {
  on: "the bucket is versioned, so a plain delete hides objects behind delete markers and frees nothing",
  suspended:
    "the bucket's versioning is suspended, so a plain delete leaves its older versions and frees only what was written since"
} as const

/** Fails with `StoreRefused` where versions are kept and nobody chose what a delete does; says when objects may be locked. */
export const storeGuard = Effect.fnUntraced(function* ({ chosen, objectLock, versioning }: StoreTraits) {
  const { description } = yield* Storage
  if (versioning !== "off" && !chosen) {
    return yield* new StoreRefused({
      store: description,
      problem: kept[versioning],
      fix: "Choose: S3_VERSIONED_DELETE=versions deletes all versions of a key, which frees the bytes and cannot be undone; S3_VERSIONED_DELETE=markers hides objects and leaves their bytes to the bucket's lifecycle rules."
    })
  }
  return objectLock
    ? [
        "Objects may be locked against deletion here (object lock). A locked one fails alone: its key is reported and tried again, and is a dead letter in the end (artifact-gc journal)."
      ]
    : []
})
