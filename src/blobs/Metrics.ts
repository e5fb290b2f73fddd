/** The metrics of writers: blobs that `BlobStore` stores. Updated once for each call. */
import { Clock, Effect, Exit, Metric } from "effect"
import { counter, histogram } from "../domain/DeclaredMetric.ts"

const outcome = ["uploaded", "deduplicated", "failed"] as const

/** Blobs given to `BlobStore`. */
export const puts = counter({
  name: "artifact_gc_puts_total",
  labels: { outcome },
  help: "Blobs that `BlobStore.put` and `putAll` were given: stored anew, found to exist, or not stored.",
  look: "`failed` that rises: writers get an error each time, and see why. A high share of `deduplicated` saves space."
})

/** The bytes of stored blobs. */
export const putBytes = counter({
  name: "artifact_gc_put_bytes_total",
  unit: "bytes",
  labels: { outcome: ["uploaded", "deduplicated"] },
  help: "Size of the blobs that `BlobStore` stored anew or found to exist.",
  look: "`uploaded` minus artifact_gc_phase_deleted_bytes_total is the growth of the store."
})

/** How long calls take. */
export const putDuration = histogram({
  name: "artifact_gc_put_duration_seconds",
  unit: "seconds",
  labels: { outcome },
  boundaries: [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300],
  help: "Duration of the calls of `BlobStore.put` and `putAll`.",
  look: "Includes the time in which the writer's body is read. A rise for small blobs: database or store are slow."
})

/** What a call stored. */
interface Put {
  readonly outcome: "uploaded" | "deduplicated"
  readonly sizeBytes: number
}

/** Counts a call that stores `count` blobs. `stored` reads its result. An interrupted call is not counted. */
export const counted = <A, E, R>(
  call: Effect.Effect<A, E, R>,
  count: number,
  stored: (result: A) => ReadonlyArray<Put>
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const begunAt = yield* Clock.currentTimeMillis
    return yield* Effect.onExit(call, (exit) =>
      Exit.hasInterrupts(exit)
        ? Effect.void
        : Effect.flatMap(Clock.currentTimeMillis, (now) =>
            record(Exit.isSuccess(exit) ? stored(exit.value) : null, count, (now - begunAt) / 1000)
          )
    )
  })

const record = (stored: ReadonlyArray<Put> | null, count: number, seconds: number): Effect.Effect<void> =>
  Effect.contextWith((context) => {
    if (stored === null) {
      puts.of({ outcome: "failed" }).updateUnsafe(count, context)
      putDuration.of({ outcome: "failed" }).updateUnsafe(seconds, context)
      return Effect.void
    }
    for (const { outcome, sizeBytes } of stored) {
      puts.of({ outcome }).updateUnsafe(1, context)
      putBytes.of({ outcome }).updateUnsafe(sizeBytes, context)
    }
    const isNew = stored.some(({ outcome }) => outcome === "uploaded")
    return Metric.update(putDuration.of({ outcome: isNew ? "uploaded" : "deduplicated" }), seconds)
  })
