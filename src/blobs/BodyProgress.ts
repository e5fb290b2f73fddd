/** Whether an upload still makes progress: counters that its bodies advance, and a loop that reads them. */
import { Effect } from "effect"

/** Counters over all bodies of one upload. */
export interface BodyProgress {
  /** Bodies that were started and have not ended. */
  openBodies: number
  /** Chunks read so far, of all bodies. */
  chunksRead: number
}

/** Returns counters for an upload whose bodies have not started. */
export const bodyProgress = (): BodyProgress => ({ openBodies: 0, chunksRead: 0 })

/**
 * Runs `beat` at the end of each `everyMillis` in which the upload was alive. It was alive if a chunk was
 * read, or if no body is open: then the store is busy with the last bytes. Ends only with a failure of
 * `beat`.
 */
export const whileAlive = <E, R>(
  progress: BodyProgress,
  everyMillis: number,
  beat: Effect.Effect<unknown, E, R>
): Effect.Effect<never, E, R> =>
  Effect.suspend(() => {
    let chunksSeen = progress.chunksRead
    const interval = Effect.andThen(
      Effect.sleep(everyMillis),
      Effect.suspend((): Effect.Effect<unknown, E, R> => {
        const isAlive = progress.chunksRead !== chunksSeen || progress.openBodies === 0
        chunksSeen = progress.chunksRead
        return isAlive ? beat : Effect.void
      })
    )
    return Effect.forever(interval)
  })
