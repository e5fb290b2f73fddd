/**
 * What the simulation holds the code to, at every step: the invariants of Facts, and what only somebody who saw the
 * whole history can know.
 */
import { Duration, type Exit } from "effect"
import {
  type Publication,
  type PublishOutcome,
  type Reference,
  touchEveryMillis
} from "../../../src/database/Database.ts"
import { referenceId, type State } from "../../../src/database/Memory.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { State as StoreState } from "../../../src/storage/Memory.ts"
import { invariantsOf } from "../../../src/testing/Facts.ts"
import type { Call } from "./Gate.ts"
import type { Plan } from "./Plan.ts"
import type { Time } from "./Time.ts"

/** A reference that somebody was told is there. */
export interface Promised {
  readonly reference: Reference
}

export interface Oracle {
  /** What is wrong now; null when nothing is. */
  readonly check: () => string | null
  /** Notes what a request did. */
  readonly performed: (
    call: Pick<Call, "process" | "verb" | "args">,
    exit: Exit.Exit<unknown, unknown>
  ) => void
  /** A request that nobody waited for has taken effect: what it wrote may have replaced what came later. */
  readonly landedLate: (call: Pick<Call, "verb" | "args">) => void
  /** `who` asks for these references to be written or removed: until there is an answer, anything may be there. */
  readonly asked: (who: object, references: ReadonlyArray<Reference>) => void
  /** `who` was told that `written` are there, or has given up or died. */
  readonly answered: (who: object, written: ReadonlyArray<Reference>) => void
  /** Somebody was told that the blob is kept by this pin, until then. */
  readonly pinned: (id: string, digest: Digest, until: number) => void
  /** Its release is asked for. */
  readonly letGo: (id: string) => void
  /** References that must be there, by id. The same object for as long as they must. */
  readonly promised: ReadonlyMap<string, Promised>
  readonly broken: (what: string) => void
}

export const make = (options: {
  readonly rows: State
  readonly store: StoreState
  readonly time: Time
  readonly plan: Plan
  /** The bytes of a blob. */
  readonly bytesOf: (digest: Digest) => Uint8Array | undefined
}): Oracle => {
  const { rows, store, time, plan, bytesOf } = options
  const promised = new Map<string, Promised>()
  /** Who has no answer yet, and how often each reference had been touched when they asked. */
  const asking = new Map<object, ReadonlyMap<string, number>>()
  const touched = new Map<string, number>()
  const touch = (id: string) => touched.set(id, (touched.get(id) ?? 0) + 1)
  const pins = new Map<string, { readonly digest: Digest; readonly until: number }>()
  const dead = new Set<ObjectKey>()
  const usedAt = new Map<Digest, number>()
  let verdict: string | null = null
  const broken = (what: string) => {
    verdict ??= what
  }

  /** Grace counts from use, as the user's clock told it, and use is noted now and then only. */
  const graceMillis = Duration.toMillis(plan.settings.grace ?? 0)
  const slackMillis = touchEveryMillis + 2 * plan.skewMillis
  const waited = (digest: Digest) => {
    const used = usedAt.get(digest)
    if (used !== undefined && used > time.now() - graceMillis + slackMillis)
      broken(`blob ${digest} was purged within the grace period of its last use`)
  }

  const oneWay = (): string | null => {
    for (const key of rows.journal.keys()) dead.add(key)
    for (const key of rows.intents.keys()) if (dead.has(key)) return `an upload owns ${key}, which was dead`
    for (const key of rows.chunks.keys())
      if (dead.has(key)) return `an upload session owns ${key}, which was dead`
    for (const [digest, { key }] of rows.blobs)
      if (dead.has(key)) return `blob ${digest} owns ${key}, which was dead`
    return null
  }

  const rightBytes = (): string | null => {
    for (const [digest, { key, sizeBytes }] of rows.blobs) {
      const bytes = store.objects.get(key)?.bytes
      const right = bytesOf(digest)
      if (bytes === undefined || right === undefined || bytes === right) continue
      if (sizeBytes !== bytes.length || !equal(bytes, right))
        return `blob ${digest} has wrong bytes at ${key}`
    }
    return null
  }

  const held = (): string | null => {
    for (const { id, digest } of rows.pins.values())
      if (!rows.blobs.has(digest)) return `pin ${id} is on blob ${digest}, which has no row`
    for (const [id, { digest, until }] of pins) {
      if (time.now() >= until) pins.delete(id)
      else if (!rows.pins.has(id)) return `pin ${id} on blob ${digest} was to last and is gone`
    }
    return null
  }

  const kept = (): string | null => {
    for (const [id, { reference }] of promised)
      if (rows.references.get(id)?.digest !== reference.digest)
        return `reference ${id} to blob ${reference.digest} was committed and is gone`
    return null
  }

  return {
    promised,
    broken,
    check: () => {
      verdict ??= invariantsOf(rows, store.objects)[0] ?? oneWay() ?? rightBytes() ?? held() ?? kept()
      return verdict
    },
    performed: ({ process, verb, args }, exit) => {
      if (exit._tag === "Failure") return
      if (process.hasWrongClock) {
        // Nothing was promised to those who do not know the time; but they must not decide by it.
        if (process.role === "collector" && !harmless.has(verb))
          broken(`${process.name} has a clock that is off, and went on to ${verb}`)
        if (verb === "blobs.publish")
          for (const { digest } of args[1] as ReadonlyArray<Publication>) usedAt.delete(digest)
        return
      }
      const at = () => Number(args[0]) - process.aheadMillis
      if (verb === "blobs.adopt") for (const digest of exit.value as Set<Digest>) usedAt.set(digest, at())
      if (verb === "blobs.publish") {
        const outcomes = exit.value as ReadonlyArray<PublishOutcome>
        for (const [i, { digest }] of (args[1] as ReadonlyArray<Publication>).entries())
          if (outcomes[i] !== "expired") usedAt.set(digest, at())
      }
      if (verb === "orphans.purge") {
        const { purged } = exit.value as { readonly purged: ReadonlyArray<{ readonly digest: Digest }> }
        for (const { digest } of purged) waited(digest)
      }
    },
    pinned: (id, digest, until) => {
      pins.set(id, { digest, until })
    },
    letGo: (id) => {
      pins.delete(id)
    },
    landedLate: (call) => {
      for (const reference of referencesOf(call)) {
        promised.delete(referenceId(reference))
        touch(referenceId(reference))
      }
    },
    asked: (who, references) => {
      const ids = references.map(referenceId)
      for (const id of ids) {
        promised.delete(id)
        touch(id)
      }
      asking.set(who, new Map(ids.map((id) => [id, touched.get(id) ?? 0])))
    },
    answered: (who, written) => {
      const asked = asking.get(who)
      asking.delete(who)
      for (const reference of written) {
        const id = referenceId(reference)
        const alone = ![...asking.values()].some((ids) => ids.has(id))
        if (alone && asked?.get(id) === touched.get(id)) promised.set(id, { reference })
      }
      for (const id of asked?.keys() ?? []) touch(id)
    }
  }
}

/** What a collector may do without a clock that is right. */
const harmless: ReadonlySet<string> = new Set([
  "pause",
  "inspect",
  "candidates.watch",
  "skew",
  "backlog",
  "collectors.leave"
])

const referencesOf = ({ verb, args }: Pick<Call, "verb" | "args">): ReadonlyArray<Reference> => {
  if (verb === "blobs.adopt") return args[1] as ReadonlyArray<Reference>
  if (verb === "blobs.unreference") return args[0] as ReadonlyArray<Reference>
  if (verb !== "blobs.publish") return []
  return (args[1] as ReadonlyArray<Publication>).flatMap(({ references }) => references)
}

const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])
