/**
 * The memory backend as a model of the triggers against unannounced writers: random commands run on memory and
 * on PostgreSQL, and after each the answers and the rows must be the same. The simulation plays unannounced
 * writers on memory, so where it diverges the simulation proves nothing.
 */

import { assert, it } from "@effect/vitest"
import { Arbitrary, Context, Effect, Exit, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { referenceId } from "../../src/artifacts/Artifacts.ts"
import type { Suspect } from "../../src/database/Database.ts"
import { insertUnannounced, referUnannounced } from "../../src/database/Memory.ts"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"
import type { ObjectKey } from "../../src/domain/ObjectKey.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { Database } from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { installs, unannouncedKey } from "../fixtures/database/WriterStage.ts"
import { artifact, digest, everything, key, minute, now } from "../fixtures/samples.ts"
import { inMemory, inPostgres, Tables } from "../fixtures/Tables.ts"

const verbs = [
  "insert",
  "insert",
  "insert",
  "refer",
  "refer",
  "unrefer",
  "store",
  "purge",
  "purge",
  "purge",
  "claim",
  "claim",
  "confirm",
  "confirm",
  "leftover",
  "verify",
  "verify",
  "rekey",
  "drop",
  "forget",
  "end",
  "end"
] as const

const upTo = (max: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: max }))

const command = Arbitrary.schema(
  Schema.Struct({ verb: Schema.Literals(verbs), n: upTo(1), flag: Schema.Boolean, other: Schema.Boolean })
)
type Command = typeof command extends Arbitrary.Arbitrary<infer A> ? A : never

interface Side {
  readonly database: Database["Service"]
  readonly tables: Tables["Service"]
  /** An unannounced writer's insert of a row. Returns whether there was none. */
  readonly inserts: (n: number) => Effect.Effect<boolean>
  /** An unannounced writer's reference. */
  readonly refers: (n: number) => Effect.Effect<"written" | "refused">
  /** Tombstones, and how often each journaled key was leased. */
  readonly doubts: Effect.Effect<unknown>
  readonly memory: { claimed: ReadonlyArray<ObjectKey>; uploads: number; at: number }
}

const sideOf = (database: Database["Service"], tables: Tables["Service"]) => ({
  database,
  tables,
  memory: { claimed: [], uploads: 0, at: now } as Side["memory"]
})

const memorySide = Effect.gen(function* () {
  const state = AllDatabases.emptyState()
  state.installation.unannouncedWritersGuarded = true
  const context = yield* Layer.build(Layer.merge(AllDatabases.inMemory(state), inMemory(state)))
  const tombstones = (all: (typeof state)["tombstones"] | (typeof state)["buriedKeys"]) =>
    [...all].map(([id, { lasting, settledAt }]) => `${id} ${lasting} ${settledAt}`).sort()
  return {
    ...sideOf(Context.get(context, Database), Context.get(context, Tables)),
    inserts: (n) =>
      Effect.sync(() =>
        insertUnannounced(state, digest(n), {
          key: unannouncedKey(n),
          sizeBytes: 1,
          createdAt: now,
          lastUsedAt: now
        })
      ),
    refers: (n) =>
      Effect.sync(() => {
        const reference = artifact("tag", n)
        const outcome = referUnannounced(state, referenceId(reference), reference)
        return outcome === "written" ? "written" : "refused"
      }),
    doubts: Effect.sync(() => ({
      tombstones: tombstones(state.tombstones),
      buriedKeys: tombstones(state.buriedKeys),
      leases: [...state.leases].map(([one, leases]) => `${one} ${leases}`).sort()
    }))
  } satisfies Side as Side
})

const postgresSide = (server: Databases.Server) =>
  Effect.gen(function* () {
    const place = yield* Databases.migratedDatabase(server)
    yield* Effect.orDie(installs(place))
    const client = yield* Layer.build(Databases.client(place))
    const services = yield* Layer.build(
      Layer.merge(AllDatabases.onClient(), inPostgres).pipe(Layer.provide(Layer.succeedContext(client)))
    )
    const sql = Context.get(client, SqlClient.SqlClient)
    const database = Context.get(services, Database)
    yield* database.inspect
    const run = <A>(effect: Effect.Effect<A, unknown>) => Effect.orDie(onProcessClock(effect))
    const at = new Date(now)
    const texts = (rows: ReadonlyArray<object>) =>
      rows.map((row) => ("text" in row ? String(row.text) : "")).sort()
    const tombstones = (table: string, id: string) =>
      Effect.map(
        sql.unsafe(
          `SELECT concat(${id}, ' ', lasting, ' ', coalesce((extract(epoch FROM settled_at) * 1000)::bigint::text, 'null')) AS text
           FROM artifact_gc.${table}`
        ),
        (rows) => texts(rows).map((text) => text.replace(" t ", " true ").replace(" f ", " false "))
      )
    return {
      ...sideOf(database, Context.get(services, Tables)),
      inserts: (n) =>
        run(
          Effect.map(
            sql`INSERT INTO blobs (digest, object_key, size_bytes, created_at, last_used_at)
              VALUES (${digest(n)}, ${unannouncedKey(n)}, 1, ${at}, ${at}) ON CONFLICT DO NOTHING RETURNING 1 AS one`,
            (rows) => rows.length === 1
          )
        ),
      refers: (n) =>
        onProcessClock(
          Effect.map(
            Effect.exit(
              sql`INSERT INTO artifacts (repository, name, digest, created_at)
                VALUES ('library/app', 'tag', ${digest(n)}, ${at})
                ON CONFLICT (repository, name) DO UPDATE SET digest = EXCLUDED.digest`
            ),
            (exit) => (Exit.isSuccess(exit) ? "written" : "refused")
          )
        ),
      doubts: run(
        Effect.all({
          tombstones: tombstones("tombstones", "digest"),
          buriedKeys: tombstones("buried_keys", "object_key"),
          leases: Effect.map(
            sql`SELECT object_key || ' ' || leases AS text FROM artifact_gc.journal WHERE leases > 0`,
            texts
          )
        })
      )
    } satisfies Side as Side
  })

/** Condemns all orphans and purges them, leased or not. */
const purge = Effect.fnUntraced(function* ({ database: { orphans }, memory: { at } }: Side, leases: boolean) {
  const found = yield* orphans.find(everything)
  const seen = found.map((one) => one.digest)
  yield* orphans.record(everything, { now: at, seen, condemned: seen, sweep: "s" })
  const { purged } = yield* orphans.purge({
    now: at,
    condemnedCutoff: at,
    seenCutoff: at,
    usedCutoff: at,
    limit: 10,
    after: null,
    deleteNotBefore: at,
    leaseUntil: leases ? at + minute : null
  })
  return purged.map((one) => one.key).sort()
})

/** Does something to the first suspect. What PostgreSQL numbers differs. */
const withSuspect = <A, E>(
  { database: { suspects } }: Side,
  use: (suspect: Suspect) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const page = yield* suspects.page(null, 10)
    const [first] = page
    const shown = page.map(({ latest: _, ...suspect }) => suspect)
    return { shown, outcome: first === undefined ? null : yield* use(first) }
  })

const run = (side: Side, { flag, n, other, verb }: Command): Effect.Effect<unknown, unknown> => {
  const { database, memory } = side
  const { blobs, journal, leftovers, suspects } = database
  const { at } = memory
  switch (verb) {
    case "insert":
      return side.inserts(n)
    case "refer":
      return side.refers(n)
    case "unrefer":
      return blobs.unreference([artifact("tag", n)])
    case "store": {
      memory.uploads += 1
      const to = key(`fresh-${memory.uploads}`)
      const publication = { key: to, digest: digest(n), sizeBytes: 1 }
      return Effect.andThen(
        blobs.intend([{ key: to, digest: digest(n), expiresAt: at + minute }]),
        blobs.publish(at, [{ ...publication, references: flag ? [artifact("tag", n)] : [] }])
      )
    }
    case "purge":
      return purge(side, flag)
    case "claim":
      return Effect.map(journal.claim(at, at + (flag ? minute : 0), 10), ({ entries, readopted }) => {
        memory.claimed = entries.map((entry) => entry.key)
        return { claimed: [...memory.claimed].sort(), readopted }
      })
    case "confirm":
      return journal.confirm(memory.claimed, flag ? memory.claimed : [])
    case "leftover":
      return leftovers.journal(at, [{ key: unannouncedKey(n), sizeBytes: 1 }], at)
    case "verify":
      return withSuspect(side, (suspect) => suspects.trust(suspect))
    case "rekey":
      return withSuspect(side, (suspect) => {
        memory.uploads += 1
        const to = key(`copy-${memory.uploads}`)
        return Effect.andThen(
          flag ? blobs.intend([{ key: to, digest: suspect.digest, expiresAt: at + minute }]) : Effect.void,
          suspects.rekey(at, suspect, to, at)
        )
      })
    case "drop":
      return withSuspect(side, (suspect) => suspects.drop(at, suspect))
    case "forget":
      // PostgreSQL counts suspicions, and memory has one for each key.
      return Effect.map(suspects.forget(10), (forgotten) => forgotten > 0)
    case "end":
      memory.at += other ? minute : 0
      return suspects.endTombstones(memory.at, flag ? minute : 0, 10)
  }
}

/** The report of a property quotes messages only, so the difference has to be in there. */
const same = (what: string, other: unknown, model: unknown): void =>
  assert.deepStrictEqual(
    other,
    model,
    `${what}\n  model: ${JSON.stringify(model)}\n  other: ${JSON.stringify(other)}`
  )

/** PostgreSQL has a row for each suspicion, memory has one for each key. */
const distinct = <A>(rows: ReadonlyArray<A>): ReadonlyArray<A> => [
  ...new Map(rows.map((row) => [JSON.stringify(row), row])).values()
]

/** Registers the comparison. More runs with TWIN_RUNS. */
export const unannouncedTwinContract = (server: Databases.Server): void => {
  it.effect.prop(
    `memory does what the triggers against unannounced writers do on ${server.name}`,
    { commands: Arbitrary.array(command, { minLength: 20, maxLength: 45 }) },
    ({ commands }) =>
      Effect.gen(function* () {
        const [model, other] = [yield* memorySide, yield* postgresSide(server)]
        for (const [step, c] of commands.entries()) {
          const at = `step ${step}: ${JSON.stringify(c)}`
          const expected = yield* Effect.exit(run(model, c))
          const answer = yield* Effect.exit(run(other, c))
          assert.isTrue(Exit.isSuccess(expected), at)
          same(
            `${at}: the answer`,
            Option.getOrNull(Exit.getSuccess(answer)),
            Option.getOrNull(Exit.getSuccess(expected))
          )
          const [rows, modelRows] = [yield* other.tables.rows, yield* model.tables.rows]
          for (const table of ["blobs", "references", "journal", "intents", "orphans"] as const)
            same(`${at}: ${table}`, rows[table], modelRows[table])
          same(`${at}: suspects`, distinct(rows.suspects), modelRows.suspects)
          same(`${at}: doubts`, yield* other.doubts, yield* model.doubts)
        }
      }).pipe(Effect.scoped),
    { timeout: 300_000, arbitrary: { runs: Number(process.env.TWIN_RUNS ?? 15), size: 40 } }
  )
}
