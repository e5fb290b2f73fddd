/**
 * The store guard. A bucket that keeps versions frees nothing when an object is deleted, so an operator must choose what a
 * delete does. Without that choice a collector would report bytes that it never freed, and the bucket would grow.
 */
import { Effect } from "effect"
import { StoreRefused } from "../../domain/Refusals.ts"
import { Storage } from "../../storage/Storage.ts"
import type { GuardContext } from "./Guard.ts"

const kept = {
  on: "the bucket is versioned, so a plain delete hides objects behind delete markers and frees nothing",
  suspended:
    "the bucket's versioning is suspended, so a plain delete leaves its older versions and frees only what was written since"
} as const

/**
 * Fails with `StoreRefused` where the store keeps versions and no operator chose what a delete does. Returns a finding
 * where objects may be locked.
 */
export const storeGuard = Effect.fnUntraced(function* ({ tellStore }: GuardContext) {
  const { description, traits } = yield* Storage
  const { chosen, deletes, objectLock, versioning } = yield* traits
  tellStore({ deletes, objectLock, versioning })
  if (versioning !== "off" && !chosen) {
    return yield* new StoreRefused({
      store: description,
      problem: kept[versioning],
      fix: "Choose: S3_VERSIONED_DELETE=versions deletes all versions of a key, which frees the bytes and cannot be undone; S3_VERSIONED_DELETE=markers hides objects and leaves their bytes to the bucket's lifecycle rules."
    })
  }
  return objectLock
    ? [
        "Objects may be locked against deletion here (object lock). A locked object fails alone: its key is reported, tried again, and finally becomes a dead letter (artifact-gc journal)."
      ]
    : []
})
