/**
 * A database with scripted faults around any other database.
 *
 * ```ts
 * const script = FaultyDatabase.script()
 * const database = FaultyDatabase.layer(script).pipe(Layer.provide(MemoryDatabase.layer()))
 * script.next("journal.confirm", lands("Unavailable")) // committed, but the answer was lost
 * script.next("orphans.purge", fails("Contended"), 3)
 * ```
 */
import { Effect, Layer } from "effect"
import {
  type Audit,
  type Blobs,
  type Breakers,
  type Candidates,
  type Collectors,
  Database,
  type Journal,
  type Leftovers,
  type Manifests,
  type Orphans,
  type Sessions,
  type Suspects
} from "../database/Database.ts"
import { DatabaseError, type DatabaseFailure } from "../domain/DatabaseError.ts"
import { type Fault, make, type Script } from "./Faults.ts"

/** A verb by its full name, e.g. `journal.claim`. */
export type Verb =
  | "inspect"
  | "backlog"
  | `orphans.${keyof Orphans}`
  | `candidates.${keyof Candidates}`
  | `journal.${keyof Journal}`
  | `blobs.${keyof Blobs}`
  | `leftovers.${keyof Leftovers}`
  | `breakers.${keyof Breakers}`
  | `collectors.${keyof Collectors}`
  | `suspects.${keyof Suspects}`
  | `audit.${keyof Audit}`
  | `sessions.${keyof Sessions}`
  | `manifests.${keyof Manifests}`
  | "skew"

export type DatabaseFault = Fault<DatabaseFailure>
export type DatabaseScript = Script<Verb, DatabaseFailure>

/** A script without faults. */
export const script = (): DatabaseScript => make<Verb, DatabaseFailure>()

/** The database below, as the script has it. */
export const layer = (script: DatabaseScript): Layer.Layer<Database, never, Database> =>
  Layer.effect(
    Database,
    Effect.map(Database, (inner) => wrap(inner, script))
  )

/** {@link layer}, of a service one has already. */
export const wrap = (inner: Database["Service"], script: DatabaseScript): Database["Service"] => {
  const verb =
    <Args extends ReadonlyArray<unknown>, A, E>(
      name: Verb,
      method: (...args: Args) => Effect.Effect<A, DatabaseError | E>
    ) =>
    (...args: Args): Effect.Effect<A, DatabaseError | E> =>
      script.run(
        name,
        args,
        Effect.suspend(() => method(...args)),
        (reason) => new DatabaseError({ operation: name, reason, detail: "scripted fault" })
      )
  const {
    orphans,
    candidates,
    journal,
    blobs,
    leftovers,
    breakers,
    collectors,
    suspects,
    audit,
    sessions,
    manifests
  } = inner
  return Database.of({
    description: `${inner.description}, with scripted faults`,
    inspect: Effect.suspend(verb("inspect", () => inner.inspect)),
    orphans: {
      claimSlice: verb("orphans.claimSlice", orphans.claimSlice),
      readSlice: verb("orphans.readSlice", orphans.readSlice),
      find: verb("orphans.find", orphans.find),
      record: verb("orphans.record", orphans.record),
      purge: verb("orphans.purge", orphans.purge),
      condemned: verb("orphans.condemned", orphans.condemned),
      restore: verb("orphans.restore", orphans.restore)
    },
    candidates: {
      watch: Effect.suspend(verb("candidates.watch", () => candidates.watch)),
      review: verb("candidates.review", candidates.review),
      sighted: verb("candidates.sighted", candidates.sighted),
      settle: verb("candidates.settle", candidates.settle),
      passDue: verb("candidates.passDue", candidates.passDue),
      passDone: verb("candidates.passDone", candidates.passDone)
    },
    journal: {
      claim: verb("journal.claim", journal.claim),
      confirm: verb("journal.confirm", journal.confirm),
      postpone: verb("journal.postpone", journal.postpone),
      deadLetters: verb("journal.deadLetters", journal.deadLetters),
      retry: verb("journal.retry", journal.retry),
      reapIntents: verb("journal.reapIntents", journal.reapIntents)
    },
    blobs: {
      adopt: verb("blobs.adopt", blobs.adopt),
      intend: verb("blobs.intend", blobs.intend),
      renew: verb("blobs.renew", blobs.renew),
      recordMultipart: verb("blobs.recordMultipart", blobs.recordMultipart),
      publish: verb("blobs.publish", blobs.publish),
      unpin: verb("blobs.unpin", blobs.unpin),
      expirePins: verb("blobs.expirePins", blobs.expirePins),
      unreference: verb("blobs.unreference", blobs.unreference),
      locate: verb("blobs.locate", blobs.locate),
      owned: verb("blobs.owned", blobs.owned)
    },
    leftovers: {
      claim: verb("leftovers.claim", leftovers.claim),
      journal: verb("leftovers.journal", leftovers.journal),
      advance: verb("leftovers.advance", leftovers.advance),
      yield: verb("leftovers.yield", leftovers.yield),
      withdraw: verb("leftovers.withdraw", leftovers.withdraw)
    },
    breakers: {
      read: verb("breakers.read", breakers.read),
      trip: verb("breakers.trip", breakers.trip),
      confirm: verb("breakers.confirm", breakers.confirm),
      exposure: verb("breakers.exposure", breakers.exposure)
    },
    collectors: {
      register: verb("collectors.register", collectors.register),
      peers: verb("collectors.peers", collectors.peers),
      leave: verb("collectors.leave", collectors.leave)
    },
    suspects: {
      page: verb("suspects.page", suspects.page),
      adopt: verb("suspects.adopt", suspects.adopt),
      drop: verb("suspects.drop", suspects.drop),
      forget: verb("suspects.forget", suspects.forget)
    },
    audit: {
      page: verb("audit.page", audit.page),
      lookup: verb("audit.lookup", audit.lookup),
      referrers: verb("audit.referrers", audit.referrers),
      estimate: Effect.suspend(verb("audit.estimate", () => audit.estimate)),
      missingIndex: Effect.suspend(verb("audit.missingIndex", () => audit.missingIndex))
    },
    sessions: {
      open: verb("sessions.open", sessions.open),
      read: verb("sessions.read", sessions.read),
      touch: verb("sessions.touch", sessions.touch),
      append: verb("sessions.append", sessions.append),
      claim: verb("sessions.claim", sessions.claim),
      renewClaim: verb("sessions.renewClaim", sessions.renewClaim),
      release: verb("sessions.release", sessions.release),
      complete: verb("sessions.complete", sessions.complete),
      cancel: verb("sessions.cancel", sessions.cancel),
      expire: verb("sessions.expire", sessions.expire),
      idle: verb("sessions.idle", sessions.idle)
    },
    manifests: {
      probe: Effect.suspend(verb("manifests.probe", () => manifests.probe)),
      put: verb("manifests.put", manifests.put),
      find: verb("manifests.find", manifests.find),
      touch: verb("manifests.touch", manifests.touch),
      untag: verb("manifests.untag", manifests.untag),
      delete: verb("manifests.delete", manifests.delete),
      tags: verb("manifests.tags", manifests.tags),
      repositories: verb("manifests.repositories", manifests.repositories),
      referrers: verb("manifests.referrers", manifests.referrers),
      blob: verb("manifests.blob", manifests.blob),
      expire: verb("manifests.expire", manifests.expire),
      untagged: verb("manifests.untagged", manifests.untagged),
      exposure: verb("manifests.exposure", manifests.exposure)
    },
    skew: Effect.suspend(verb("skew", () => inner.skew)),
    backlog: verb("backlog", inner.backlog)
  })
}
