/**
 * The second part of a simulation: nothing fails any more, what is on its way arrives, days pass, sweeps run. Then
 * nothing dead may be left, and everything that is referenced must read back.
 */
import { Clock, Effect, Exit, Stream } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { Database } from "../../../src/database/Database.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import type { Crew } from "./Processes.ts"
import type { Requests } from "./Requests.ts"
import * as Trace from "./Trace.ts"
import { contents, type World } from "./World.ts"

/**
 * After so many sweeps, each a day after the other, nothing dead may be left: one sees orphans, one condemns them, one
 * purges and deletes; and a key that was found or put off during them takes two more.
 */
const sweepsMax = 6

const day = 24 * 60 * 60 * 1000

/** Answers what broke, or null. */
export const run = (world: World, crew: Crew, requests: Requests): string | null => {
  const { dice } = world
  crew.note(null, () => "faults end")
  // Half of the worlds end with everybody's death, the others with everybody's last piece of work.
  if (dice.chance(0.5)) for (const process of [...crew.processes]) crew.kill(process)
  return settle(world, crew, requests) ?? collect(world, crew)
}

/** Whatever is under way comes to its end. */
const settle = (
  { dice, gate, oracle, time, turns }: World,
  crew: Crew,
  requests: Requests
): string | null => {
  while (true) {
    turns.drain()
    for (const call of gate.waiting.filter(({ verb }) => verb === "pause")) gate.take(call)
    crew.step += 1
    if (gate.waiting.length > 0) requests.succeed(dice.pick(gate.waiting))
    else if (gate.late.length > 0) requests.land()
    else {
      const wakeAt = time.nextWakeAt()
      if (wakeAt === null) return oracle.check()
      time.pass(Math.max(1, wakeAt - time.now()))
    }
    turns.drain()
    const broken = oracle.check()
    if (broken !== null) return broken
  }
}

const collect = (world: World, crew: Crew): string | null => {
  const { gate, oracle, time } = world
  gate.open()
  const keeper = crew.keeper()
  const perform = Effect.runSyncExitWith(world.services(keeper))
  for (let sweeps = 0; sweeps < sweepsMax && (sweeps === 0 || leaked(world) !== null); sweeps++) {
    crew.step += 1
    time.pass(day)
    const exit = perform(sweep)
    crew.note(keeper, () => `sweeps: ${Trace.showExit(exit)}`)
    const broken = oracle.check()
    if (broken !== null) return broken
  }
  const unread = perform(unreadable(world))
  return leaked(world) ?? (Exit.isSuccess(unread) ? unread.value : Trace.showExit(unread))
}

/** A person has looked at the reports, closes breakers and puts dead letters back; then a collector sweeps. */
const sweep = Effect.gen(function* () {
  const { breakers, journal } = yield* Database
  const now = yield* Clock.currentTimeMillis
  yield* breakers.confirm(now)
  yield* journal.retry(now, "all")
  const { outcome } = yield* (yield* Sweep).once()
  return outcome
})

/** What is dead and still there. */
const leaked = ({ rows, store }: World): string | null => {
  const owned = new Set([...rows.blobs.values()].map(({ key }) => key))
  const referenced = new Set([...rows.references.values()].map(({ digest }) => digest))
  for (const key of store.objects.keys())
    if (!owned.has(key)) return `leaked: nothing owns ${key}, and it stays`
  for (const digest of rows.blobs.keys())
    if (!referenced.has(digest)) return `leaked: nothing refers to blob ${digest}, and it stays`
  for (const key of rows.journal.keys()) return `leaked: the journal still holds ${key}`
  for (const key of rows.intents.keys()) return `leaked: the upload of ${key} is still announced`
  for (const id of rows.sessions.keys()) return `leaked: upload session ${id} stays`
  for (const id of rows.pins.keys()) return `leaked: pin ${id} stays`
  for (const id of store.multiparts.keys()) return `leaked: the upload in parts ${id} stays`
  return null
}

/** What is referenced and does not read back, byte for byte. */
const unreadable = Effect.fnUntraced(function* ({ count, rows }: World) {
  const blobs = yield* BlobStore
  for (const { digest } of rows.references.values()) {
    const exit = yield* Effect.exit(Stream.runCollect(blobs.open(digest)))
    if (Exit.isFailure(exit)) return `lost: blob ${digest} cannot be read: ${Trace.showExit(exit)}`
    const right = contents.find((content) => content.digest === digest)?.bytes
    if (right === undefined || !Buffer.concat(exit.value).equals(right))
      return `lost: blob ${digest} reads back wrong`
    count("references read back in the end")
  }
  return null
})
