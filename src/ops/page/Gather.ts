/** Reads what the page shows. Reads only, and no more than a bounded part of each table. */
import { Clock, Duration, Effect, Ref, type Scope } from "effect"
import { CollectorDatabase, type DeadLetter, type HistoryEntry } from "../../database/Database.ts"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import { RegistryDatabase } from "../../oci/database/RegistryDatabase.ts"
import { endedOf, type ReadOptions, read } from "../../status/Read.ts"
import type { DeadLetters, PageFacts } from "./Facts.ts"
import * as Seldom from "./Seldom.ts"
import { pointOf, type TrendPoint } from "./Trend.ts"

/** The days of the plots, and the sweeps that they show at most: a month of hourly ones. */
const trendMillis = 31 * 24 * 60 * 60 * 1000
const trendMax = 750

/** Dead letters that are read for their reasons. */
const deadLettersMax = 1000

const repositoriesMax = 20

/** A statement over the catalogue is given up after so long. */
const withinMillis = 5000

const seldom: Seldom.SeldomOptions = {
  every: Duration.minutes(15),
  patience: Duration.millis(1500)
}

/** Makes the reader of the page's facts. What it computes in the background ends with the scope. */
export const make = Effect.fnUntraced(function* <R>(
  options: ReadOptions<R>
): Effect.fn.Return<
  Effect.Effect<PageFacts, DatabaseError, R | CollectorDatabase | RegistryDatabase>,
  never,
  Scope.Scope | CollectorDatabase | RegistryDatabase
> {
  const { audit, history, journal } = yield* CollectorDatabase
  const { sizes } = yield* RegistryDatabase
  const stock = yield* Seldom.make("The number of blobs", audit.stock(withinMillis), seldom)
  const repositories = yield* Seldom.make(
    "The size of repositories",
    sizes.largest(repositoriesMax, withinMillis),
    seldom
  )
  const trend = yield* rememberedTrend(history.page)
  return Effect.gen(function* () {
    const at = yield* Clock.currentTimeMillis
    const status = yield* read(at, options)
    const hasDead = status.queues.some(({ length, queue }) => queue === "dead_letters" && length > 0)
    const letters = hasDead ? yield* journal.deadLetters(null, deadLettersMax) : []
    return {
      status,
      trend: yield* trend(at),
      deadLetters: { groups: groupsOf(letters), read: letters.length },
      stock: yield* stock,
      repositories: yield* repositories
    } satisfies PageFacts
  })
})

type Page = (
  since: number,
  before: number | null,
  limit: number
) => Effect.Effect<ReadonlyArray<HistoryEntry>, DatabaseError>

interface Remembered {
  readonly lastId: number
  readonly points: ReadonlyArray<TrendPoint>
}

/** A report is about 1.4 KB of JSON. Those that were read are kept as points of 100 bytes, and only later ones are read again. */
const rememberedTrend = (page: Page) =>
  Effect.map(
    Ref.make<Remembered>({ lastId: 0, points: [] }),
    (remembered) => (at: number) =>
      Effect.gen(function* () {
        const { lastId, points } = yield* Ref.get(remembered)
        const since = at - trendMillis
        // A sweep may be recorded after one that ended later. Clocks of collectors differ by minutes at most.
        const from = points.at(-1)?.endedAt ?? null
        const entries = yield* page(from === null ? since : Math.max(since, from - 600_000), null, trendMax)
        const added = entries.filter(({ id }) => id > lastId).toReversed()
        const all = [...points, ...added.flatMap((entry) => pointOf(endedOf(entry)) ?? [])]
          .filter(({ endedAt }) => endedAt >= since)
          .sort((a, b) => a.endedAt - b.endedAt)
          .slice(-trendMax)
        yield* Ref.set(remembered, { lastId: Math.max(lastId, ...entries.map(({ id }) => id)), points: all })
        return all
      })
  )

/** Returns the store's code or the error's reason, with which each error begins: `AccessDenied: no such right`. */
const reasonOf = ({ lastError }: DeadLetter): string => /^[\w ]{1,40}(?=:|$)/.exec(lastError)?.[0] ?? "other"

/** Groups dead letters by their reasons, the most frequent first. */
export const groupsOf = (letters: ReadonlyArray<DeadLetter>): ReadonlyArray<DeadLetters> => {
  const groups = new Map<string, ReadonlyArray<DeadLetter>>()
  for (const letter of letters) {
    const reason = reasonOf(letter)
    groups.set(reason, [...(groups.get(reason) ?? []), letter])
  }
  return [...groups]
    .flatMap(([reason, [first, ...others]]): ReadonlyArray<DeadLetters> => {
      if (first === undefined) return []
      const all = [first, ...others]
      return [
        {
          reason,
          keys: all.length,
          bytes: all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
          oldestAt: Math.min(...all.map(({ deadAt }) => deadAt)),
          example: { key: first.key, error: first.lastError }
        }
      ]
    })
    .sort((a, b) => b.keys - a.keys)
}
