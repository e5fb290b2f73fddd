/**
 * Values that are read from files and follow them while the program runs. Each is looked at once a second, and when an operator
 * asks with SIGHUP. A file that cannot be used leaves the last good value in force.
 */
import { stat } from "node:fs/promises"
import { Context, Effect, Exit, Metric, Result, Schedule, type Scope, Semaphore } from "effect"
import { reloads } from "../../ops/Metrics.ts"

/** What a look at the files found. */
export type Look =
  | { readonly _tag: "Unchanged" }
  | { readonly _tag: "Changed" }
  /** They changed and cannot be used. */
  | { readonly _tag: "Refused" }

/** Whose files they are: a label of the metric. */
export type Owner = "database" | "store" | "registry" | "operators"

/** Something that can be loaded again. */
export interface Reloadable {
  /** The settings that name its files. */
  readonly name: string
  /** Looks at the files at once, and logs what it finds. */
  readonly reload: Effect.Effect<Look>
}

/** Everything that can be loaded again in this process. It is a mutable set: what follows a file adds itself. */
export class Reloadables extends Context.Reference<Set<Reloadable>>("artifact-gc/cli/Reloadables", {
  defaultValue: () => new Set()
}) {}

/** How files become a value. */
export interface FollowOptions<A, E> {
  /** The settings that name the files, for messages. */
  readonly name: string
  /** Whose files they are. */
  readonly of: Owner
  /** Where the files are. */
  readonly paths: ReadonlyArray<string>
  /** Reads and checks the files. */
  readonly read: Effect.Effect<A, E>
}

/** A value that follows its files. */
export interface Followed<A> {
  /** Returns the last good value. */
  readonly current: () => A
  /** Looks at the files at once, and returns the value. */
  readonly fresh: Effect.Effect<A>
  /** Calls `use` with each further value. */
  readonly onChange: (use: (value: A) => void) => void
}

/** The time between two looks at files that nothing asks for. */
const lookEvery = "1 second"

/** Reads the files and follows them until the scope is closed. Fails if they cannot be used now. */
export const follow = <A, E extends { readonly message: string }>(
  options: FollowOptions<A, E>
): Effect.Effect<Followed<A>, E, Scope.Scope> =>
  Effect.gen(function* () {
    const { name, of, paths, read } = options
    const users = new Set<(value: A) => void>()
    const onlyOne = yield* Semaphore.make(1)
    const known = yield* Reloadables
    let version = yield* versionOf(paths)
    let value = yield* read
    /** The version that was refused, and whether the log says so. */
    let refused: { readonly version: string; isLogged: boolean } | null = null

    const change = Effect.fnUntraced(function* (next: A, at: string) {
      version = at
      value = next
      refused = null
      for (const use of users) use(next)
      yield* Metric.update(reloads.of({ of, result: "changed" }), 1)
      yield* Effect.logInfo(`${name}: ${paths.join(" and ")} changed, and the new content is in force.`)
    })

    const refuse = Effect.fnUntraced(function* (at: string, message: string, isAsked: boolean) {
      const isKnown = refused?.version === at
      // A program may be writing one file of two, so the first look does not complain.
      if (!isKnown && !isAsked) {
        refused = { version: at, isLogged: false }
        return
      }
      if (refused !== null && isKnown && refused.isLogged && !isAsked) return
      if (!isKnown || refused?.isLogged !== true)
        yield* Metric.update(reloads.of({ of, result: "refused" }), 1)
      refused = { version: at, isLogged: true }
      yield* Effect.logError(`${message} What was read before stays in force until then.`)
    })

    const look = (isAsked: boolean): Effect.Effect<Look> =>
      onlyOne.withPermits(1)(
        Effect.gen(function* (): Effect.fn.Return<Look> {
          const at = yield* versionOf(paths)
          if (at === version) {
            refused = null
            return { _tag: "Unchanged" }
          }
          const next = yield* Effect.result(read)
          if (Result.isSuccess(next)) {
            yield* change(next.success, at)
            return { _tag: "Changed" }
          }
          yield* refuse(at, next.failure.message, isAsked)
          return { _tag: "Refused" }
        })
      )

    yield* registered(known, { name, reload: look(true) })
    yield* Effect.forkScoped(Effect.repeat(Effect.delay(look(false), lookEvery), Schedule.forever))
    return {
      current: () => value,
      fresh: Effect.map(look(false), () => value),
      onChange: (use) => {
        users.add(use)
      }
    }
  })

/** Adds something that can be loaded again, until the scope is closed. */
export const registered = (
  known: Set<Reloadable>,
  reloadable: Reloadable
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      known.add(reloadable)
    }),
    () => Effect.sync(() => known.delete(reloadable))
  )

/** Kubernetes and editors replace a file, so its identity counts, and not only its time. */
const versionOf = (paths: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.promise(async () => {
    const versions = await Promise.all(
      paths.map((path) =>
        stat(path, { bigint: true }).then(
          ({ dev, ino, mtimeNs, size }) => `${dev}/${ino}/${mtimeNs}/${size}`,
          () => "absent"
        )
      )
    )
    return versions.join(" ")
  })

/** Loads everything again that can be, and says in one line what changed and what needs a restart. */
export const reloadAll: Effect.Effect<void> = Effect.gen(function* () {
  const known = [...(yield* Reloadables)]
  const looks = yield* Effect.forEach(known, ({ name, reload }) =>
    Effect.map(Effect.exit(reload), (exit) => ({
      name,
      tag: Exit.isSuccess(exit) ? exit.value._tag : "Refused"
    }))
  )
  const named = (tag: Look["_tag"]) => looks.filter((look) => look.tag === tag).map(({ name }) => name)
  const parts = [
    ["loaded again", named("Changed")],
    ["unchanged", named("Unchanged")],
    ["not usable, so that the old content stays", named("Refused")]
  ] as const
  const found = parts.flatMap(([what, names]) => (names.length === 0 ? [] : [`${what}: ${names.join(", ")}`]))
  yield* Effect.logInfo(
    `SIGHUP: ${found.length === 0 ? "no setting names a file that is followed" : found.join("; ")}. Flags and variables of the environment need a restart.`
  )
})

/**
 * Runs `work`, and loads files again on SIGHUP meanwhile. On a terminal the signal means that the terminal was closed, and ends
 * the process as before.
 */
export const reloadingOnHangup = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  process.stderr.isTTY
    ? work
    : Effect.scoped(
        Effect.gen(function* () {
          const context = yield* Effect.context<never>()
          const listener = () => void Effect.runPromiseWith(context)(reloadAll)
          yield* Effect.acquireRelease(
            Effect.sync(() => process.on("SIGHUP", listener)),
            () => Effect.sync(() => process.off("SIGHUP", listener))
          )
          return yield* work
        })
      )
