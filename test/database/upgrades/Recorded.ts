/** The statements of a program, recorded with their parameters, and replayed without that program. */
import { Effect } from "effect"
import { SqlClient, Statement } from "effect/sql"

/** A statement with its parameters. */
export type Recorded = readonly [sql: string, parameters: ReadonlyArray<unknown>]

/** What a release did to an empty database. */
export interface Release {
  /** Made its tables, in one transaction. */
  readonly tables: ReadonlyArray<Recorded>
  /** Pushed images, deleted one and swept. */
  readonly life: ReadonlyArray<Recorded>
  /** Pushed, pulled and deleted as a replica does while a newer release migrates. */
  readonly work: ReadonlyArray<Recorded>
}

/** Runs an effect and returns the statements that it executed. Those that begin and end transactions are not among them. */
export const recording = <A, E, R>(effect: Effect.Effect<A, E, R>, into: Array<Recorded>) =>
  Effect.provideService(effect, Statement.CurrentTransformer, (statement) =>
    Effect.sync(() => {
      into.push(statement.compile())
      return statement
    })
  )

interface Tagged {
  readonly $bytes?: string
  readonly $instant?: string
  readonly $bigint?: string
}

/** A release as it is stored: each text once. */
interface Stored {
  readonly texts: ReadonlyArray<string>
  readonly parts: { readonly [K in keyof Release]: ReadonlyArray<readonly [text: number, ...Recorded[1]]> }
}

/** Returns a release as JSON, a statement a line. Statements that only look at the tables' form are left out. */
export const encode = ({ life, tables, work }: Release): string => {
  const texts: Array<string> = []
  const indexOf = (text: string) => (texts.includes(text) ? texts.indexOf(text) : texts.push(text) - 1)
  const stored = (statements: ReadonlyArray<Recorded>) =>
    statements.map(([text, parameters]) => [indexOf(text), ...parameters] as const)
  const parts = {
    tables: stored(tables),
    life: stored(life.filter((one) => !isLooking(one))),
    work: stored(work.filter((one) => !isLooking(one)))
  }
  const lines = (values: ReadonlyArray<unknown>) =>
    `[\n${values.map((value) => JSON.stringify(value, tagged)).join(",\n")}\n]`
  const ofParts = Object.entries(parts).map(([name, part]) => `"${name}": ${lines(part)}`)
  return `{ "texts": ${lines(texts)},\n"parts": { ${ofParts.join(",\n")} } }`
}

function tagged(this: Record<string, unknown>, name: string, value: unknown): unknown {
  const raw = this[name]
  if (raw instanceof Uint8Array) return { $bytes: Buffer.from(raw).toString("base64") }
  if (raw instanceof Date) return { $instant: raw.toISOString() }
  if (typeof raw === "bigint") return { $bigint: String(raw) }
  return value
}

/** Reads it back. */
export const decode = (text: string): Release => {
  const { parts, texts }: Stored = JSON.parse(text, (_, value: Tagged | null) => {
    if (value?.$bytes !== undefined) return new Uint8Array(Buffer.from(value.$bytes, "base64"))
    if (value?.$instant !== undefined) return new Date(value.$instant)
    if (value?.$bigint !== undefined) return BigInt(value.$bigint)
    return value
  })
  const of = (part: Stored["parts"]["life"]) =>
    part.map(([index, ...parameters]): Recorded => [texts[index] ?? "", parameters])
  return { tables: of(parts.tables), life: of(parts.life), work: of(parts.work) }
}

/** Replays statements in one transaction, and returns the rows of each. */
export const replay = (statements: ReadonlyArray<Recorded>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(
      Effect.andThen(
        // As at the beginning of each transaction of a program. The second is the path of the host's triggers.
        sql`SELECT set_config('search_path', '"pg_catalog"', true),
          set_config('artifact_gc.search_path', '"pg_catalog"', true)`,
        Effect.forEach(statements, ([text, parameters]) =>
          sql.unsafe<object>(text, parameters as Array<never>)
        )
      )
    )
  )

/** Statements whose rows differ between servers, transactions or versions of the tables. */
const isVolatile = ([text]: Recorded): boolean =>
  // A write in the host's path is not volatile.
  /clock_timestamp|pg_\w+\(|pg_catalog|txid|migrations|to_regclass|information_schema/.test(
    text.replaceAll("pg_catalog.set_config", "")
  )

/** Such statements change no row. The replay sets what they set. */
const isLooking = (statement: Recorded): boolean =>
  /^\s*SELECT\b[^;]*\b(set_config|current_setting)\(/.test(statement[0]) ||
  (isVolatile(statement) && !/\b(INSERT|UPDATE|DELETE|LOCK|CREATE)\b/.test(statement[0]))

/** Returns the statements with their rows, without those of volatile ones. */
export const outcomes = (statements: ReadonlyArray<Recorded>, rows: ReadonlyArray<unknown>) =>
  statements.flatMap((statement, n) =>
    isVolatile(statement) ? [] : [{ sql: statement[0], rows: JSON.stringify(rows[n]) }]
  )
