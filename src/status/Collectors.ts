/** The collectors of a catalogue, and how far their sweeps are. */
import type { Peer, PeerActivity, PeerPhase } from "../database/Database.ts"
import { iso, isoOrNull } from "./Instants.ts"
import type { CollectorState, PhaseProgress, RunningSweep } from "./Status.ts"

/**
 * Returns the collectors, with the settings in which they differ from each other. `journalDue` keys are due now: what a
 * sweep that does not count them beforehand still expects.
 */
export const collectorsOf = (peers: ReadonlyArray<Peer>, journalDue: number): ReadonlyArray<CollectorState> =>
  peers.map(({ activity, id, seenAt, settings }) => ({
    id,
    seenAt: iso(seenAt),
    activity: activity === null ? "unknown" : activity.sweep === null ? "waiting" : "sweeping",
    sweep: activity === null ? null : sweepOf(activity, journalDue),
    nextDueAt: isoOrNull(activity?.nextDueAt ?? null),
    settings,
    differs: Object.keys(settings).filter((name) =>
      peers.some((other) => other.settings[name] !== undefined && other.settings[name] !== settings[name])
    )
  }))

const sweepOf = ({ at, sweep }: PeerActivity, journalDue: number): RunningSweep | null =>
  sweep === null
    ? null
    : {
        sweep: sweep.name,
        startedAt: iso(sweep.startedAt),
        at: iso(at),
        phases: sweep.phases.map((phase, index) =>
          progressOf(withExpected(phase, journalDue), at, index === sweep.phases.length - 1)
        ),
        failures: sweep.failures ?? []
      }

const withExpected = (phase: PeerPhase, journalDue: number): PeerPhase =>
  phase.phase === "journal" && phase.expected === null && journalDue > 0
    ? { ...phase, expected: phase.deleted + journalDue }
    : phase

const progressOf = (phase: PeerPhase, at: number, isLast: boolean): PhaseProgress => {
  const { bytes, deleted, expected, seen, since } = phase
  const seconds = (at - since) / 1000
  const perSecond = (count: number) => (seconds > 0 ? count / seconds : 0)
  const rate = perSecond(deleted)
  const remaining = expected === null ? 0 : Math.max(0, expected - deleted)
  return {
    phase: phase.phase,
    seen,
    deleted,
    bytes,
    expected,
    perSecond: rate > 0 ? rate : perSecond(seen),
    endsAt: isLast && rate > 0 && remaining > 0 ? iso(Math.round(at + (remaining * 1000) / rate)) : null
  }
}
