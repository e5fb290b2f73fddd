/** Other people's catalogues, each in schemas of its own in one database, with the collector's tables beside them. */

import { randomUUID } from "node:crypto"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { afterAll } from "vitest"
import { type CatalogNames, defaultNames } from "../../../src/domain/CatalogNames.ts"
import type { SchemaProblem, SchemaRefused } from "../../../src/domain/SchemaRefused.ts"
import * as RegistryPostgres from "../../../src/oci/database/Postgres.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"

export interface Bench {
  readonly names: CatalogNames
  readonly place: Databases.Place
  readonly database: Database["Service"]
  /** Runs statements one by one; `$s` in them stands for the catalogue's schema, `$c` for the collector's. */
  readonly run: (
    ...statements: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<Record<string, unknown>>>
  /** What the guard holds against the catalogue. */
  readonly problems: Effect.Effect<ReadonlyArray<SchemaProblem>>
}

/** One database for the file: a schema costs a tenth of what a database does. */
const fileScope = Scope.makeUnsafe()
afterAll(() => Effect.runPromise(Scope.close(fileScope, Exit.void)))
let shared: Promise<{ place: Databases.Place; client: Context.Context<Databases.Client> }> | undefined
const sharedDatabase = Effect.promise(() => {
  shared ??= Effect.runPromise(
    Effect.gen(function* () {
      const place = yield* Databases.emptyDatabase(Databases.embedded)
      return { place, client: yield* Layer.build(Databases.client(place)) }
    }).pipe(Scope.provide(fileScope))
  )
  return shared
})

/** A catalogue nothing is wrong with, one table of references, and the collector's tables. */
export const sound: ReadonlyArray<string> = [
  `CREATE TABLE $s.blobs (digest text COLLATE "C" PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint,
     created_at timestamptz NOT NULL, last_used_at timestamptz)`,
  `CREATE TABLE $s.layers (id serial PRIMARY KEY, digest text COLLATE "C" REFERENCES $s.blobs)`,
  "CREATE INDEX ON $s.layers (digest)"
]

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`

export interface BenchOptions {
  readonly names?: Partial<CatalogNames>
  /** Default {@link sound}. */
  readonly catalogue?: ReadonlyArray<string>
  /** Default true. */
  readonly migrated?: boolean
  /** Whether there are tables of a registry. Default false. */
  readonly registry?: boolean
}

export const bench = Effect.fnUntraced(function* (options: BenchOptions = {}) {
  const { place, client } = yield* sharedDatabase
  const sql = Context.get(client, SqlClient.SqlClient)
  const own = randomUUID().slice(0, 8)
  const names: CatalogNames = {
    ...defaultNames,
    schema: `catalogue_${own}`,
    collectorSchema: `gc_${own}`,
    registrySchema: `registry_${own}`,
    ...options.names
  }
  const run: Bench["run"] = (...statements) =>
    Effect.map(
      Effect.forEach(statements, (statement) =>
        sql.unsafe<Record<string, unknown>>(
          statement
            .replaceAll("$s", quote(names.schema))
            .replaceAll("$c", quote(names.collectorSchema))
            .replaceAll("$r", quote(names.registrySchema))
        )
      ),
      (all) => all.flat()
    ).pipe(Effect.orDie)
  const layer = Layer.provide(AllDatabases.onClient(names), Layer.succeedContext(client))
  const database = Context.get(yield* Layer.build(layer), Database)
  yield* run("CREATE SCHEMA IF NOT EXISTS $s", ...(options.catalogue ?? sound))
  if (options.migrated ?? true) {
    const { registry = false } = options
    yield* RegistryPostgres.migrate(names, { createCatalog: false, registry }).pipe(
      Effect.provideContext(client),
      Effect.orDie
    )
  }
  return { names, place, database, run, problems: problemsOf(database) } satisfies Bench
})

export const problemsOf = (database: Database["Service"]): Effect.Effect<ReadonlyArray<SchemaProblem>> =>
  database.inspect.pipe(
    Effect.as([]),
    Effect.catchTag("SchemaRefused", (refused: SchemaRefused) => Effect.succeed(refused.problems)),
    Effect.orDie
  )

/** Executes what the guard says puts things right. */
export const repair = (b: Bench, problems: ReadonlyArray<SchemaProblem>) =>
  b.run(...problems.flatMap(({ fix }) => fix.split(/(?<=;)\s*/)).filter((statement) => statement !== ""))

/** What a problem says, with the schemas' random names left out. */
export const plain = ({ names }: Bench, problem: SchemaProblem) => ({
  ...problem,
  table: problem.table
    .replace(names.schema, "s")
    .replace(names.collectorSchema, "c")
    .replace(names.registrySchema, "r"),
  fix: problem.fix
    .replaceAll(names.schema, "s")
    .replaceAll(names.collectorSchema, "c")
    .replaceAll(names.registrySchema, "r")
})

export interface Refusal {
  readonly given: ReadonlyArray<string>
  readonly options?: BenchOptions
  readonly expected: ReadonlyArray<Partial<SchemaProblem>>
  /** Whether the fixes are statements that make the guard pass. Default true. */
  readonly fixable?: boolean
}

/** Registers: the guard refuses a sound catalogue after the `given` statements, and its fixes make it pass. */
export const refuses = (sentence: string, { given, options, expected, fixable = true }: Refusal): void => {
  it.effect(`refuses ${sentence}`, () =>
    Effect.gen(function* () {
      const b = yield* bench(options)
      yield* b.run(...given)
      const problems = yield* b.problems
      const found = problems.map((problem) => plain(b, problem))
      for (const [index, want] of expected.entries()) assert.deepInclude(found[index], want)
      assert.lengthOf(found, expected.length)
      if (!fixable) return
      yield* repair(b, problems)
      assert.deepStrictEqual(yield* b.problems, [])
    })
  )
}

/** Registers: the guard accepts a sound catalogue after the `given` statements. */
export const accepts = (sentence: string, given: ReadonlyArray<string>, options?: BenchOptions): void => {
  it.effect(`accepts ${sentence}`, () =>
    Effect.gen(function* () {
      const b = yield* bench(options)
      yield* b.run(...given)
      assert.deepStrictEqual(yield* b.problems, [])
    })
  )
}
