/**
 * A day of a caching proxy beside the collector, in miniature. Six writers that know nothing of the protocol
 * use derived keys, insert on conflict do nothing, and evict rows. Waits are seconds instead of hours.
 *
 *   npm run test:proxy [-- --seconds 80]
 *
 * Four plays, on an embedded PostgreSQL and a directory: without triggers, which must lose bytes; with them
 * at an interval of an hour, which must lose none and keep no writer waiting; and a proxy whose content comes
 * back after the writers' patience, with and without an end of tombstones, which must refuse none.
 *
 * Exit codes: 0 when every goal was met; 1 when any was not.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duration, Effect, Option } from "effect"
import type { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { type EmbeddedPostgres, start } from "../../src/embedded-postgres/Embedded.ts"
import type { SweepSettings } from "../../src/sweep/Settings.ts"
import { runProgram } from "../../tools/Program.ts"
import { type Catalogue, type Collecting, collects, make } from "./proxy/Catalogue.ts"
import { busy, emptyTally, patient, type Tally, writers } from "./proxy/Writers.ts"

const contents = 80

const waits: Partial<SweepSettings> = {
  grace: Duration.seconds(2),
  quarantine: Duration.seconds(1),
  leftoverGrace: Duration.seconds(20),
  leftoverEvery: Duration.seconds(10),
  breakerPercent: 100
}

interface Play {
  readonly name: string
  readonly isGuarded: boolean
  readonly collecting: Collecting
  readonly writer: (catalogue: Catalogue, tally: Tally, writer: number) => Effect.Effect<unknown, unknown>
}

interface Outcome extends Tally {
  readonly referenced: number
  readonly lost: number
}

const hourly = { interval: Duration.hours(1), besides: true }
const guarded = { ...waits, unannouncedWriters: "guarded" } as const

const plays = {
  unguarded: {
    name: "unguarded",
    isGuarded: false,
    collecting: { ...hourly, settings: { ...waits, unannouncedWriters: "none" } },
    writer: (catalogue, tally, writer) => busy(catalogue, tally, writer, contents)
  },
  guarded: {
    name: "guarded",
    isGuarded: true,
    collecting: { ...hourly, settings: guarded },
    writer: (catalogue, tally, writer) => busy(catalogue, tally, writer, contents)
  },
  later: {
    name: "later",
    isGuarded: true,
    collecting: {
      interval: Duration.seconds(1),
      besides: false,
      settings: { ...guarded, writerPatience: Duration.seconds(1) }
    },
    writer: (catalogue, tally, writer) => patient(catalogue, tally, writer, Duration.seconds(12))
  },
  laterForEver: {
    name: "later_for_ever",
    isGuarded: true,
    collecting: {
      interval: Duration.seconds(1),
      besides: false,
      settings: { ...guarded, writerPatience: null }
    },
    writer: (catalogue, tally, writer) => patient(catalogue, tally, writer, Duration.seconds(12))
  }
} satisfies Readonly<Record<string, Play>>

/** Counts the references, and those whose object is missing. */
const readLost = Effect.fnUntraced(function* ({ sql, store }: Catalogue) {
  const rows = yield* sql<{ object_key: string | null }>`
    SELECT DISTINCT object_key FROM artifacts LEFT JOIN blobs USING (digest)`
  const found = yield* Effect.forEach(rows, ({ object_key: key }) =>
    key === null ? Effect.succeed(false) : Effect.map(store.head(key as ObjectKey), Option.isSome)
  )
  return { referenced: rows.length, lost: found.filter((exists) => !exists).length }
})

const play = (server: EmbeddedPostgres, folder: string, seconds: number, one: Play) =>
  Effect.scoped(
    Effect.gen(function* () {
      const catalogue = yield* make(server, folder, one.name, one.isGuarded)
      const tally = emptyTally()
      yield* collects(catalogue, one.collecting)
      const all = Array.from({ length: writers }, (_, writer) => one.writer(catalogue, tally, writer))
      yield* Effect.timeoutOption(Effect.all(all, { concurrency: "unbounded" }), Duration.seconds(seconds))
      const outcome: Outcome = { ...tally, ...(yield* readLost(catalogue)) }
      yield* Effect.sync(() => process.stdout.write(`${textOf(one.name, outcome)}\n`))
      return outcome
    })
  )

const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

const textOf = (name: string, { lost, referenced, refused, returned, waits, writes }: Outcome): string => {
  const states = [...refused].map(([state, count]) => `${count} × ${state}`).join(", ") || "none"
  const longest = Math.max(0, ...waits)
  return `${name}: ${writes} writes, ${returned} of collected content; refused: ${states}; wait of ${waits.length} refused writes: median ${(median(waits) / 1000).toFixed(2)} s, longest ${(longest / 1000).toFixed(2)} s; ${lost} of ${referenced} referenced blobs lost`
}

const refusals = ({ refused }: Tally): number => refused.get("40001") ?? 0

/** Returns each goal, and whether it was met. */
const goals = (
  o: Readonly<Record<keyof typeof plays, Outcome>>
): ReadonlyArray<readonly [string, boolean]> => [
  ["unguarded: bytes of references are lost", o.unguarded.lost > 0],
  ["guarded: content came back after its collection, and was refused", o.guarded.waits.length > 0],
  ["guarded: none is lost", o.guarded.lost === 0],
  ["guarded: the median wait is at most 0.3 s", median(o.guarded.waits) <= 300],
  ["guarded: at least 80 % of the unguarded writes", o.guarded.writes >= 0.8 * o.unguarded.writes],
  ["later: content came back after its collection", o.later.returned > 0],
  ["later: none is refused, none is lost", refusals(o.later) === 0 && o.later.lost === 0],
  ["later, tombstones for ever: some are refused", refusals(o.laterForEver) > 0]
]

const secondsOf = (args: ReadonlyArray<string>): number => {
  const at = args.indexOf("--seconds")
  return at < 0 ? 80 : Number(args[at + 1])
}

const main = async (): Promise<number> => {
  const folder = await mkdtemp(join(tmpdir(), "artifact-gc-proxy-"))
  const seconds = secondsOf(process.argv)
  const all = Effect.scoped(
    Effect.gen(function* () {
      const server = yield* start({ dataDirectory: join(folder, "postgres"), durable: false })
      return yield* Effect.all({
        unguarded: play(server, folder, seconds, plays.unguarded),
        guarded: play(server, folder, seconds, plays.guarded),
        later: play(server, folder, seconds / 2, plays.later),
        laterForEver: play(server, folder, seconds / 2, plays.laterForEver)
      })
    })
  )
  try {
    const results = goals(await Effect.runPromise(all))
    for (const [goal, met] of results) process.stdout.write(`${met ? "met" : "NOT MET"}: ${goal}\n`)
    return results.every(([, met]) => met) ? 0 : 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

runProgram(main)
