/** Tells the other processes of a catalogue how far a sweep is, on the row with which its collector is registered. */
import { Clock, Duration, Effect } from "effect"
import type { PeerActivity, PeerFailure, PeerPhase, Peers } from "../database/Database.ts"
import { Progress } from "./Progress.ts"

/** How often a sweep under way tells how far it is. A shorter sweep writes nothing but its beginning and its end. */
export const tellEvery = Duration.seconds(5)

/** What a sweep tells. */
export interface Activity {
  /** What the collector does at `at`: this sweep, as far as it is. */
  readonly at: (at: number) => PeerActivity
  /** Returns what tells it, if it was last told {@link tellEvery} ago; or null. Never fails: the sweep meets the trouble itself. */
  readonly tell: (now: number) => Effect.Effect<void> | null
  /** Notes that a phase failed. It is told the next time, which is when the next phase begins if that is due. */
  readonly failed: (phase: string, message: string) => void
  /** Notes how far each phase is, beside the caller's own `Progress`. */
  readonly observed: <A, E, R>(sweep: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Returns the activity of collector `id` in the sweep `name`, which tells it to `peers`. */
export const make = (peers: Pick<Peers, "tell">, id: string, name: string, startedAt: number): Activity => {
  const phases = new Map<string, PeerPhase>()
  const failures: Array<PeerFailure> = []
  let toldAt = startedAt
  const activityAt = (at: number): PeerActivity => ({
    at,
    sweep: {
      name,
      startedAt,
      phases: [...phases.values()],
      ...(failures.length === 0 ? {} : { failures: [...failures] })
    },
    nextDueAt: null
  })
  return {
    at: activityAt,
    tell: (now) => {
      if (now - toldAt < Duration.toMillis(tellEvery)) return null
      toldAt = now
      return Effect.ignoreCause(peers.tell(id, activityAt(now), null))
    },
    failed: (phase, message) => {
      failures.push({ phase, message })
    },
    observed: (sweep) =>
      Effect.flatMap(Progress, ({ report, watched }) =>
        Effect.provideService(sweep, Progress, {
          watched,
          report: (event) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) => {
              phases.set(event.phase, { ...event, since: phases.get(event.phase)?.since ?? now })
              return report(event)
            })
        })
      )
  }
}
