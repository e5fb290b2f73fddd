/**
 * The oracle: checks after every step what must hold. These are the invariants of Facts, and those that
 * depend on the history of a run.
 */

import { Duration, type Exit } from "effect"
import type { Reference } from "../../../src/artifacts/Artifacts.ts"
import { type Publication, type PublishOutcome, touchEveryMillis } from "../../../src/database/Database.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { RegistryState as State } from "../../../src/oci/database/Memory.ts"
import type { State as StoreState } from "../../../src/storage/Memory.ts"
import { invariantsOf } from "../../../src/testing/Facts.ts"
import type { Invariant, Time } from "../../../src/testing/simulation/Simulation.ts"
import * as Acknowledged from "./Acknowledged.ts"
import { derivedKeys } from "./Contents.ts"
import type { WorldParameters } from "./Parameters.ts"
import * as RegistryOracle from "./RegistryOracle.ts"
import type { Executed, Verb } from "./Verb.ts"

/** Records what happens in a world and finds broken invariants. */
export interface Oracle {
  /** What must hold after every step. */
  readonly invariants: ReadonlyArray<Invariant>
  /** Records the effect of a request. */
  readonly performed: (request: Executed, exit: Exit.Exit<unknown, unknown>) => void
  /** Records the effect of a late request, which may have replaced later writes. */
  readonly executedLate: (request: Pick<Executed, "verb" | "args">) => void
  /** Records that the request that takes effect now writes these references. */
  readonly writing: (references: ReadonlyArray<Reference>) => void
  /**
   * Records that `process` asks for these references to be written or removed. Until the answer, both are
   * right.
   */
  readonly asked: (process: object, references: ReadonlyArray<Reference>) => void
  /** Records that `process` was told that `written` exist, or that it gave up or died. */
  readonly answered: (process: object, written: ReadonlyArray<Reference>) => void
  /** Records that a process was told that this pin keeps the blob until then. */
  readonly pinned: (id: string, digest: Digest, until: number) => void
  /** Records that the release of a pin was requested. */
  readonly unpinned: (id: string) => void
  /**
   * References that must exist, by id. An entry is the same object for as long as its reference must exist.
   */
  readonly acknowledged: ReadonlyMap<string, Acknowledged.Acknowledged>
  /** The tags and manifests of a registry. */
  readonly registry: RegistryOracle.RegistryOracle
  /**
   * Records that the database was restored from a backup. Only lost rows own the objects `unknown`: no collector
   * deletes them before a person confirms.
   */
  readonly restored: (unknown: ReadonlySet<ObjectKey>) => void
  /** Reports a broken invariant. */
  readonly report: (what: string) => void
}

/** Describes the world that an oracle checks. */
export interface OracleOptions {
  readonly rows: State
  readonly store: StoreState
  readonly time: Time
  readonly parameters: WorldParameters
  /** Returns the bytes that a blob must have. */
  readonly bytesOf: (digest: Digest) => Uint8Array | undefined
  /** Breaks the run. */
  readonly report: (what: string) => void
}

/** Creates the oracle of a world. */
export const make = (options: OracleOptions): Oracle => {
  const { rows, store, time } = options
  const acknowledged = Acknowledged.make()
  const pins: Pins = new Map()
  const dead = new Set<ObjectKey>()
  const { report } = options
  const { forget, performed } = effects(options, report)
  let unknown: ReadonlySet<ObjectKey> = new Set()
  /** What the statements of hosts wrote in the request that takes effect. */
  let written: ReadonlyArray<Reference> = []
  /** The same of the request before, which may turn out to be late. */
  let lateWritten: ReadonlyArray<Reference> = []
  const registry = RegistryOracle.make(rows, time, options.parameters.wrongClocks === 0)
  return {
    acknowledged: acknowledged.all,
    asked: acknowledged.asked,
    answered: acknowledged.answered,
    writing: (references) => {
      written = [...written, ...references]
    },
    executedLate: (request) => {
      acknowledged.overwritten([...lateWritten, ...referencesOf(request)])
      registry.executedLate(request)
    },
    performed: (request, exit) => {
      performed(request, exit)
      lateWritten = written
      written = []
      registry.performed(request)
      // A person says that these objects may be deleted. Another lost time may begin later.
      const isConfirmed =
        request.verb === "breakers.confirm" &&
        exit._tag === "Success" &&
        (exit.value as ReadonlyArray<string>).includes("age")
      if (isConfirmed) unknown = new Set()
    },
    registry,
    restored: (keys) => {
      unknown = keys
      acknowledged.forget()
      registry.forget()
      pins.clear()
      dead.clear()
      forget()
    },
    report,
    invariants: [
      {
        name: "rows and objects agree",
        check: () => invariantsOf(rows, store.objects).find((text) => !isExcused(rows, text)) ?? null
      },
      {
        name: "a restored database deletes nothing that it does not know",
        check: () => deletedUnknown(store, unknown)
      },
      { name: "a journaled key is never owned again", check: () => ownedAgain(rows, dead) },
      { name: "blobs have the right bytes", check: () => wrongBytes(options) },
      { name: "a pin stays until its end", check: () => lostPin(rows, pins, time) },
      { name: "a committed reference stays", check: () => lostReference(rows, acknowledged.all) },
      { name: "a registry keeps what its clients were told", check: registry.check }
    ],
    pinned: (id, digest, until) => {
      pins.set(id, { digest, until })
    },
    unpinned: (id) => {
      pins.delete(id)
    }
  }
}

/** An unannounced writer inserts a row again while its key is journaled. Nothing can refer to it meanwhile. */
const isExcused = (rows: State, text: string): boolean =>
  rows.suspects.size > 0 &&
  [...rows.suspects].some(([digest, keys]) =>
    [...keys].some((key) => text === `the journal holds ${key}, which blob ${digest} owns`)
  )

/** Returns an object that only lost rows own and that was deleted before a person confirmed, or null. */
const deletedUnknown = ({ objects }: StoreState, unknown: ReadonlySet<ObjectKey>): string | null => {
  for (const key of unknown)
    if (!objects.has(key)) return `lost: object ${key}, which a restored database does not know, was deleted`
  return null
}

type Pins = Map<string, { readonly digest: Digest; readonly until: number }>

/** Returns a journaled key that is owned again, or null. Adds the present keys of the journal to `dead`. */
const ownedAgain = (rows: State, dead: Set<ObjectKey>): string | null => {
  for (const key of rows.journal.keys()) dead.add(key)
  for (const key of rows.intents.keys())
    if (dead.has(key)) return `an upload owns ${key}, which was journaled before`
  for (const key of rows.chunks.keys())
    if (dead.has(key)) return `an upload session owns ${key}, which was journaled before`
  for (const [digest, { key }] of rows.blobs)
    if (dead.has(key) && !derivedKeys.has(key))
      return `blob ${digest} owns ${key}, which was journaled before`
  return null
}

/** Bytes that were compared before. Two blobs never have the same bytes. */
const right = new WeakSet<Uint8Array>()

const wrongBytes = ({ bytesOf, rows, store }: OracleOptions): string | null => {
  for (const [digest, { key, sizeBytes }] of rows.blobs) {
    const bytes = store.objects.get(key)?.bytes
    const expected = bytesOf(digest)
    if (bytes === undefined || expected === undefined || bytes === expected || right.has(bytes)) continue
    if (sizeBytes !== bytes.length || !equal(bytes, expected))
      return `blob ${digest} has wrong bytes at ${key}`
    right.add(bytes)
  }
  return null
}

const lostPin = (rows: State, pins: Pins, time: Time): string | null => {
  for (const { id, digest } of rows.pins.values())
    if (!rows.blobs.has(digest)) return `pin ${id} is on blob ${digest}, which has no row`
  for (const [id, { digest, until }] of pins) {
    if (time.now() >= until) pins.delete(id)
    else if (!rows.pins.has(id)) return `pin ${id} on blob ${digest} was deleted before its end`
  }
  return null
}

const lostReference = (
  rows: State,
  acknowledged: ReadonlyMap<string, Acknowledged.Acknowledged>
): string | null => {
  for (const [id, { reference }] of acknowledged)
    if (rows.references.get(id)?.digest !== reference.digest)
      return `reference ${id} to blob ${reference.digest} was committed and is gone`
  return null
}

/** Checks the effects of requests: the grace period, and collectors whose clock is off. */
const effects = (
  { parameters, store, time }: OracleOptions,
  report: (what: string) => void
): Pick<Oracle, "performed"> & { readonly forget: () => void } => {
  const usedAt = new Map<Digest, number>()
  /** Grace counts from the last use, by the clock of the user. Uses are recorded only occasionally. */
  const graceMillis = Duration.toMillis(parameters.settings.grace ?? 0)
  const slackMillis = touchEveryMillis + 2 * parameters.skewMillis

  const checkGrace = (digest: Digest) => {
    const used = usedAt.get(digest)
    if (used !== undefined && used > time.now() - graceMillis + slackMillis)
      report(`blob ${digest} was purged within the grace period of its last use`)
  }

  /** A process with a wrong clock gets no guarantee, and a collector must not decide by it. */
  const performedByWrongClock = ({ process, verb, args }: Executed) => {
    if (process.role === "collector" && !harmless.has(verb))
      report(`${process.name} has a clock that is off, and went on to ${verb}`)
    if (verb === "blobs.publish")
      for (const { digest } of args[1] as ReadonlyArray<Publication>) usedAt.delete(digest)
  }

  return {
    forget: () => usedAt.clear(),
    performed: (request, exit) => {
      if (exit._tag === "Failure") return
      const { process, verb, args } = request
      if (!store.traits.chosen && verb === "delete" && (args[0] as ReadonlyArray<unknown>).length > 0)
        report(`${process.name} deleted objects in a bucket whose versions no operator decided about`)
      if (process.hasWrongClock) return performedByWrongClock(request)
      const at = () => Number(args[0]) - process.aheadMillis
      if (verb === "blobs.adopt") for (const digest of exit.value as Set<Digest>) usedAt.set(digest, at())
      if (verb === "blobs.publish") {
        const outcomes = exit.value as ReadonlyArray<PublishOutcome>
        for (const [i, { digest }] of (args[1] as ReadonlyArray<Publication>).entries())
          if (outcomes[i] !== "expired") usedAt.set(digest, at())
      }
      if (verb === "orphans.purge") {
        const { purged } = exit.value as { readonly purged: ReadonlyArray<{ readonly digest: Digest }> }
        for (const { digest } of purged) checkGrace(digest)
      }
    }
  }
}

/** Requests that a collector may send with a wrong clock. */
const harmless: ReadonlySet<Verb> = new Set([
  "pause",
  "inspect",
  "inspectWithSources",
  "references.check",
  "references.everHeld",
  "candidates.watch",
  "skew",
  "instants.ahead",
  "backlog",
  "sessions.backlog",
  "peers.leave",
  "control.paused",
  "control.orders",
  // A refused sweep deletes no report.
  "history.record"
])

const referencesOf = ({ verb, args }: Pick<Executed, "verb" | "args">): ReadonlyArray<Reference> =>
  verb === "host.unreference" || verb === "host.commit" || verb === "unannounced.refer"
    ? (args[0] as ReadonlyArray<Reference>)
    : []

const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])
