/**
 * How the verbs of a group are made from their statements. Span, translation of errors, retry and the
 * caller's transaction are the same for all; a table names the exceptions.
 */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { Sql } from "./Sql.ts"

/** How a verb reaches the database: by {@link Sql.verb}, {@link Sql.once} or {@link Sql.joining}. */
export type Mode = "verb" | "once" | "joining"

/** The verbs of `Group` before their errors are translated: each may still fail with the driver's. */
export type Untranslated<Group> = {
  readonly [Name in keyof Group]: Group[Name] extends (...args: infer Args) => Effect.Effect<infer A, infer E>
    ? (...args: Args) => Effect.Effect<A, E | SqlError.SqlError>
    : Group[Name] extends Effect.Effect<infer A, infer E>
      ? Effect.Effect<A, E | SqlError.SqlError>
      : never
}

/** The verbs of `Group` that do not run by {@link Sql.verb}. A function decides by the verb's arguments. */
export type Modes<Group> = {
  readonly [Name in keyof Group]?:
    | Mode
    | (Group[Name] extends (...args: infer Args) => unknown ? (...args: Args) => Mode : never)
}

type Run = (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown>

/**
 * Makes the verbs of `Group` from what each does. The span, the translation of errors, the retry and the
 * caller's transaction are the same for all. A verb is called `group.name`, as in `orphans.purge`, or
 * `name` where the group has none.
 */
export const verbs = <Group extends object>(
  db: Sql,
  group: string | null,
  untranslated: Untranslated<Group>,
  modes: Modes<Group> = {}
): Group => {
  const modeOf = modes as Readonly<Record<string, Mode | ((...args: ReadonlyArray<unknown>) => Mode)>>
  const made = Object.entries(untranslated as Record<string, Run | ReturnType<Run>>).map(([name, run]) => {
    const operation = group === null ? name : `${group}.${name}`
    const mode = modeOf[name] ?? "verb"
    const reach = (args: ReadonlyArray<unknown>, effect: ReturnType<Run>) =>
      db[typeof mode === "function" ? mode(...args) : mode](operation, effect)
    return [
      name,
      typeof run === "function"
        ? (...args: ReadonlyArray<unknown>) =>
            reach(
              args,
              Effect.suspend(() => run(...args))
            )
        : reach([], run)
    ]
  })
  return Object.fromEntries(made) as Group
}

/** Gives the first argument of a verb. */
export const on =
  <Db extends Sql>(db: Db) =>
  <Args extends ReadonlyArray<unknown>, A>(run: (db: Db, ...args: Args) => A) =>
  (...args: Args): A =>
    run(db, ...args)

/** Gives the first two arguments of a verb. The second is read anew for each call. */
export const given =
  <Db extends Sql, Read, E1>(db: Db, read: Effect.Effect<Read, E1>) =>
  <Args extends ReadonlyArray<unknown>, A, E>(
    run: (db: Db, read: Read, ...args: Args) => Effect.Effect<A, E>
  ) =>
  (...args: Args): Effect.Effect<A, E | E1> =>
    Effect.flatMap(read, (found) => run(db, found, ...args))
