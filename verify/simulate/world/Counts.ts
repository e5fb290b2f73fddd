/** Counts how often a run met the situations that the simulation is for. */
import type { Exit } from "effect"
import type { Verb } from "./Verb.ts"

/** Adds `times`, or 1, to a named count. */
export type Count = (what: string, times?: number) => void

/** Counts the situations that the effect of a request shows. */
export const countEffect = (count: Count, verb: Verb, exit: Exit.Exit<unknown, unknown>): void => {
  if (exit._tag === "Failure") return
  const value = exit.value as never
  if (verb === "blobs.publish") {
    for (const outcome of value as ReadonlyArray<string>) count(`publish: ${outcome}`)
  } else if (verb === "orphans.find") {
    if ((value as ReadonlyArray<unknown>).length > 0) count("slices with orphans")
  } else if (verb === "orphans.purge") {
    const page = value as { readonly purged: ReadonlyArray<unknown>; readonly absolved: number }
    count("purged", page.purged.length)
    count("saved by the look under lock", page.absolved)
  } else if (verb === "journal.reapIntents") {
    count("intents reaped", value)
  } else if (verb === "leftovers.journal") {
    count("leftovers journaled", (value as ReadonlyArray<unknown>).length)
  } else if (verb === "breakers.trip") {
    count("breaker tripped")
  } else if (verb === "journal.expirePins") {
    count("pins expired", value)
  } else if (verb === "complete parts") {
    count("uploads in parts completed")
  } else if (verb === "abort") {
    count("uploads in parts aborted")
  } else if (verb === "copy") {
    count("reaped uploads copied")
  } else if (verb === "delete") {
    count("objects deleted", (value as { readonly deleted: ReadonlyArray<unknown> }).deleted.length)
  }
}
