/**
 * What the comparison of backends does with references that are watched, and for a while are not. Candidates are compared as
 * a set, and reviewed all at once: how often and in which order one statement queues a blob does not matter.
 */
import { Effect, Option } from "effect"
import type { Database } from "../../fixtures/Database.ts"
import { digest, minute, now } from "../../fixtures/samples.ts"
import type { Rows, Tables } from "../../fixtures/Tables.ts"

export const candidateVerbs = [
  "watch",
  "review",
  "review",
  "review",
  "sight",
  "sight",
  "sight",
  "sight",
  "sight",
  "pass",
  "pass",
  "pass"
] as const

export interface CandidateCommand {
  readonly verb: (typeof candidateVerbs)[number]
  readonly a: number
  readonly b: number
  readonly flag: boolean
  readonly at: number
}

interface Side {
  readonly database: Database["Service"]
  readonly tables: Tables["Service"]
}

const instant = (at: number): number => now + at * 15 * minute

/** Both backends learn of it when they are inspected next, as a sweep does when it begins. */
export const watch = ({ database, tables }: Side, isWanted: boolean) =>
  Effect.andThen(isWanted ? tables.watch : tables.unwatch, database.inspect)

/** Runs one command; what is repeated must answer the same on both. */
export const runCandidate = (side: Side, c: CandidateCommand): Effect.Effect<unknown, unknown> => {
  const { candidates } = side.database
  const at = instant(c.at)
  switch (c.verb) {
    case "watch":
      return Effect.andThen(watch(side, c.flag), candidates.watch)
    case "review":
      return Effect.map(candidates.review(at, 1000), ({ orphans }) => orphans)
    case "sight":
      return Effect.gen(function* () {
        const page = yield* candidates.sighted(c.a < 3 ? null : digest(c.a), c.b)
        const found = page.orphans.map((orphan) => orphan.digest)
        const ended = yield* candidates.settle({
          now: at,
          condemned: found.filter((_, index) => (c.at >> (index % 3)) % 2 === 1),
          // A sighting that was not reported as stale is not stale.
          stale: c.flag ? [...page.stale, ...found, digest(c.a)] : page.stale,
          sweep: `s${c.b}`
        })
        return { page, ended }
      })
    case "pass":
      return Effect.gen(function* () {
        const due = yield* candidates.passDue(at, (c.a - 1) * 15 * minute)
        if (c.flag && Option.isSome(due)) {
          yield* candidates.passDone(due.value)
          // Another, that began when it did and has ended since.
          if (c.b > 3) yield* candidates.passDone({ ...due.value, startedAt: instant(c.b) })
        }
        // When it is due again tells when it is known to have begun.
        const later = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((steps) =>
          candidates.passDue(instant(steps), 15 * minute)
        )
        return [due, yield* Effect.all(later)]
      })
  }
}

/**
 * The queue as far as it is compared: what nothing keeps. Of what is kept a review forgets that it was noted, and it is noted
 * anew when that ends; a trigger, which sees a statement, and memory, which sees a verb, note different ones of these.
 */
export const noted = ({ candidates, references, pins, manifests }: Rows): ReadonlyArray<string> => {
  const kept = new Set(
    [...references, ...pins, ...manifests, ...manifests.flatMap((row) => row.references)].map(
      ({ digest }) => digest
    )
  )
  return [...new Set(candidates)].filter((digest) => !kept.has(digest))
}
