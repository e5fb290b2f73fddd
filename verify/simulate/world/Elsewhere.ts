/**
 * References that are kept elsewhere: another store with names of its own, each with a digest. Collectors ask it through a
 * reference source. It refuses to answer, or does not answer, for as long as an outage lasts.
 */
import { Context, Data, Duration, Effect, Exit } from "effect"
import type { Reference } from "../../../src/artifacts/Artifacts.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import * as ReferenceSource from "../../../src/sweep/ReferenceSource.ts"
import type { Invariant, Process, Simulator } from "../../../src/testing/simulation/Simulation.ts"
import * as Acknowledged from "./Acknowledged.ts"
import type { BackendState } from "./Backends.ts"
import type { Mutation } from "./Mutation.ts"
import { type Executed, send, type Verb } from "./Verb.ts"

/** The other store does not answer, or its answer is lost. */
export class ElsewhereDown extends Data.TaggedError("ElsewhereDown") {}

/** The other store, and what its writers were told. */
export interface Elsewhere {
  /** What it holds, by name. */
  readonly held: ReadonlyMap<string, Digest>
  /** Returns the digests of references that must exist. */
  readonly acknowledged: () => ReadonlyArray<Digest>
  /**
   * Writes a reference to a blob that a pin keeps until then. Returns whether the store acknowledged it. From then on the
   * blob must stay, unless the pin has ended before.
   */
  readonly write: (process: Process, name: string, digest: Digest, until: number) => Effect.Effect<boolean>
  /** Removes a reference. */
  readonly remove: (process: Process, name: string) => Effect.Effect<void>
  /** True if writers end the pin before they write the reference, as a mutation. */
  readonly unpinsFirst: boolean
  /** Returns the source of a collector. */
  readonly sourceOf: (process: Process) => ReferenceSource.ReferenceSource
  /** Begins an outage. */
  readonly fail: () => void
  /** Ends the outage. */
  readonly repair: () => void
  /** Records the effect of a late request, which may have replaced a later write. */
  readonly executedLate: (request: Executed) => void
  /** Records that a process ended. */
  readonly ended: (process: Process) => void
  /** Forgets what writers were told, because the database was taken back. */
  readonly forget: () => void
  readonly invariant: Invariant
}

interface Outage {
  readonly kind: "fails" | "hangs"
  readonly until: number
}

/** How long an outage lasts, in minutes. The shortest is longer than the limit of an answer. */
const outages = [0.5, 10, 120]

/** A reference as the list of acknowledged references knows it. */
const referenceOf = (name: string, digest: Digest): Reference => ({ _tag: "LocalFile", path: name, digest })

/** Creates an empty store. */
export const make = (
  simulator: Simulator,
  { rows }: BackendState,
  { source = (safe) => safe, unpinsFirst = false }: Mutation
): Elsewhere => {
  const { contextOf, count, network, note, rng, time } = simulator
  const held = new Map<string, Digest>()
  const acknowledged = Acknowledged.make()
  let outage: Outage = { kind: "fails", until: 0 }

  const request = <A>(process: Process, verb: Verb, args: ReadonlyArray<unknown>, work: () => A) =>
    send(network, process, verb, args, Effect.sync(work), new ElsewhereDown(), { isReadThenAct: true })

  const ask = (process: Process, digests: ReadonlyArray<Digest>) =>
    Effect.gen(function* () {
      if (time.now() < outage.until) {
        count(`sources: ${outage.kind}`)
        if (outage.kind === "fails") return yield* new ElsewhereDown()
        yield* Effect.sleep(outage.until - time.now())
      }
      return yield* request(process, "elsewhere.ask", [digests], () => {
        const used = new Set(held.values())
        const answer = digests.filter((digest) => used.has(digest))
        count("sources: held", answer.length)
        count("sources: released", digests.length - answer.length)
        return answer
      })
    })

  return {
    held,
    acknowledged: () => [...acknowledged.all.values()].map(({ reference }) => reference.digest),
    write: Effect.fnUntraced(function* (process, name, digest, until) {
      const reference = referenceOf(name, digest)
      acknowledged.asked(process, [reference])
      const exit = yield* Effect.exit(
        request(process, "elsewhere.write", [name, digest], () => held.set(name, digest))
      )
      const isWritten = Exit.isSuccess(exit)
      acknowledged.answered(process, isWritten && time.now() < until ? [reference] : [])
      count(`elsewhere: ${isWritten ? "written" : "unknown"}`)
      return isWritten
    }),
    remove: Effect.fnUntraced(function* (process, name) {
      const digest = held.get(name)
      if (digest === undefined) return
      acknowledged.asked(process, [referenceOf(name, digest)])
      yield* Effect.exit(request(process, "elsewhere.remove", [name, digest], () => held.delete(name)))
      acknowledged.answered(process, [])
      count("elsewhere: removed")
    }),
    unpinsFirst,
    sourceOf: (process) => {
      const changed = source(ReferenceSource.make("elsewhere", (digests) => ask(process, digests)))
      // The layer of the sweep is built on the server, whose scheduler and clock are no process's.
      return ReferenceSource.make(changed.name, (digests) =>
        Effect.updateContext(changed.ask(digests), (context: Context.Context<never>) =>
          Context.merge(context, contextOf(process))
        )
      )
    },
    fail: () => {
      const kind = rng.chance(0.5) ? "fails" : "hangs"
      outage = { kind, until: time.now() + Duration.toMillis(Duration.minutes(rng.pick(outages))) }
      note(null, () => `the other store ${kind} for ${(outage.until - time.now()) / 1000} s`)
    },
    repair: () => {
      outage = { ...outage, until: 0 }
    },
    executedLate: ({ args, verb }) => {
      if (verb !== "elsewhere.write" && verb !== "elsewhere.remove") return
      const [name, digest] = args as [string, Digest]
      acknowledged.overwritten([referenceOf(name, digest)])
    },
    ended: (process) => acknowledged.answered(process, []),
    forget: acknowledged.forget,
    invariant: {
      name: "what is referenced elsewhere stays",
      check: () => {
        for (const { reference } of acknowledged.all.values())
          if (!rows.blobs.has(reference.digest))
            return `lost: blob ${reference.digest}, which is referenced elsewhere, has no row`
        return null
      }
    }
  }
}
