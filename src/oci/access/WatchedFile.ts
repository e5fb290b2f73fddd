/**
 * A value that is read from a file and follows it: once a second at most, a request that needs the value looks whether the file
 * has changed. A file that cannot be read any more, or says something wrong, leaves the last good value in force, and the log
 * says so once.
 */
import { readFile, stat } from "node:fs/promises"
import { Clock, Effect, Result, Schema } from "effect"

/** A file that decides who may do what, or which tags are kept, cannot be used. Nothing is served or collected. */
export class AccessFileRefused extends Schema.TaggedError<AccessFileRefused>()("AccessFileRefused", {
  /** The setting that names the file. */
  setting: Schema.String,
  /** The file. */
  path: Schema.String,
  /** What is wrong with it, one problem an entry. */
  problems: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.setting}: ${this.path} cannot be used: ${this.problems.join("; ")}. Correct the file.`
  }
}

/** How a file becomes a value. */
export interface FileOptions<A> {
  /** The setting that names the file, for messages. */
  readonly setting: string
  /** Where the file is. */
  readonly path: string
  /** Reads the text. Fails with each problem. */
  readonly parse: (text: string) => Result.Result<A, ReadonlyArray<string>>
}

/** A file is looked at once in this time, so that many requests cost one look. */
const lookEveryMillis = 1000

/** A value that follows its file. */
export interface Watched<A> {
  /** Returns the value. Looks at the file once a second at most. */
  readonly value: Effect.Effect<A>
  /** Looks at the file at once, and tells what it found. */
  readonly look: Effect.Effect<"changed" | "unchanged" | "refused">
}

/** Reads the file, and returns how to have its present value. Fails if the file cannot be used now. */
export const watch = <A>(options: FileOptions<A>): Effect.Effect<Effect.Effect<A>, AccessFileRefused> =>
  Effect.map(watched(options), ({ value }) => value)

/** Reads the file, and returns how to have its present value, and how to look at it. Fails if the file cannot be used now. */
export const watched = <A>(options: FileOptions<A>): Effect.Effect<Watched<A>, AccessFileRefused> =>
  Effect.gen(function* () {
    let { value, version } = yield* read(options)
    let lookedAt = yield* Clock.currentTimeMillis
    let complaint: string | null = null
    const look: Watched<A>["look"] = Effect.gen(function* () {
      if ((yield* versionOf(options.path)) === version) return "unchanged"
      const next = yield* Effect.result(read(options))
      if (Result.isSuccess(next)) {
        ;({ value, version } = next.success)
        complaint = null
        yield* Effect.logInfo(`${options.setting}: ${options.path} has changed, and is in force.`)
        return "changed"
      }
      if (next.failure.message !== complaint) {
        complaint = next.failure.message
        yield* Effect.logError(`${complaint} What it said before stays in force until then.`)
      }
      return "refused"
    })
    const present = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (Math.abs(now - lookedAt) < lookEveryMillis) return value
      lookedAt = now
      yield* look
      return value
    })
    return { value: present, look }
  })

/** Kubernetes and editors replace a file, so its identity counts, and not only its time. */
const versionOf = (path: string): Effect.Effect<string | null> =>
  Effect.promise(() =>
    stat(path, { bigint: true }).then(
      ({ dev, ino, mtimeNs, size }) => `${dev}/${ino}/${mtimeNs}/${size}`,
      () => null
    )
  )

const read = Effect.fnUntraced(function* <A>({ parse, path, setting }: FileOptions<A>) {
  const refused = (problems: ReadonlyArray<string>) => new AccessFileRefused({ setting, path, problems })
  const version = yield* versionOf(path)
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => refused([cause instanceof Error ? cause.message : String(cause)])
  })
  const parsed = parse(text)
  if (Result.isFailure(parsed)) return yield* refused(parsed.failure)
  return { value: parsed.success, version }
})
