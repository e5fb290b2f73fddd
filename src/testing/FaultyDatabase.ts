/**
 * A database with scripted faults around any other database.
 *
 * ```ts
 * const script = FaultyDatabase.script()
 * const database = FaultyDatabase.layer(script).pipe(Layer.provide(MemoryDatabase.layer()))
 * script.next("journal.confirm", Faults.lands("Unavailable")) // committed, but the answer was lost
 * script.next("orphans.purge", Faults.fails("Contended"), 3)
 * ```
 */
import { Effect, Layer } from "effect"
import { BlobDatabase, CollectorDatabase } from "../database/Database.ts"
import { DatabaseError, type DatabaseFailure } from "../domain/DatabaseError.ts"
import { type Fault, make, type Script } from "./Faults.ts"

type Callable = Effect.Effect<unknown, unknown> | ((...args: never) => unknown)

/** The verbs of a service by their full names, e.g. `journal.claim`. Text members are no verbs. */
export type VerbOf<Service> = {
  [Name in keyof Service & string]: Service[Name] extends string
    ? never
    : Service[Name] extends Callable
      ? Name
      : `${Name}.${VerbOf<Service[Name]>}`
}[keyof Service & string]

/** A verb of the two databases by its full name. */
export type Verb = VerbOf<CollectorDatabase["Service"]> | `blobs.${VerbOf<BlobDatabase["Service"]>}`

/** A fault of a verb. It fails with a `DatabaseError` of this reason. */
export type DatabaseFault = Fault<DatabaseFailure>

/** A script of faults for the verbs `V`. */
export type DatabaseScript<V extends string = Verb> = Script<V, DatabaseFailure>

/** A script without faults. */
export const script = <V extends string = Verb>(): DatabaseScript<V> => make<V, DatabaseFailure>()

/** Wraps the databases below: each verb does what the script says. */
export const layer = (
  script: Pick<DatabaseScript, "run">
): Layer.Layer<CollectorDatabase | BlobDatabase, never, CollectorDatabase | BlobDatabase> =>
  Layer.merge(
    Layer.effect(
      CollectorDatabase,
      Effect.map(CollectorDatabase, (inner) => ({
        ...wrap(inner, script),
        description: `${inner.description}, with scripted faults`
      }))
    ),
    Layer.effect(
      BlobDatabase,
      Effect.map(BlobDatabase, (inner) => wrapBlobs(inner, script))
    )
  )

/** Returns `service` with each of its verbs, at any depth, as the script has it. */
export const wrap = <Service extends object>(
  service: Service,
  script: Pick<DatabaseScript<VerbOf<Service>>, "run">
): Service => wrapped(service, script.run as Run, "") as Service

/** {@link wrap} for the writers' verbs, which are named `blobs.publish`. */
export const wrapBlobs = (
  service: BlobDatabase["Service"],
  script: Pick<DatabaseScript<`blobs.${VerbOf<BlobDatabase["Service"]>}`>, "run">
): BlobDatabase["Service"] => wrapped(service, script.run as Run, "blobs.") as BlobDatabase["Service"]

type Run = DatabaseScript<string>["run"]

const wrapped = (service: object, run: Run, prefix: string): object => {
  const verb = (name: string, args: ReadonlyArray<unknown>, effect: Effect.Effect<unknown, unknown>) =>
    run<unknown, unknown, never>(name, args, effect, (reason) => {
      return new DatabaseError({ operation: name, reason, detail: "scripted fault" })
    })
  const members = Object.entries(service).map(([key, member]: [string, unknown]) => {
    const name = `${prefix}${key}`
    if (Effect.isEffect(member))
      return [key, Effect.suspend(() => verb(name, [], member as Effect.Effect<unknown, unknown>))]
    if (typeof member === "function") {
      return [
        key,
        (...args: ReadonlyArray<unknown>) =>
          verb(
            name,
            args,
            Effect.suspend(() => member(...args))
          )
      ]
    }
    return [key, typeof member === "object" && member !== null ? wrapped(member, run, `${name}.`) : member]
  })
  return { ...service, ...Object.fromEntries(members) }
}
