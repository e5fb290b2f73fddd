/** The waits by which rows become due: those of the collectors at work, which an operator's environment may not have. */
import { Duration } from "effect"
import type { Peer } from "../database/Database.ts"
import { shortDuration } from "../domain/shortDuration.ts"
import type { SweepSettings } from "../sweep/Settings.ts"

const waits = { grace: "GC_GRACE", quarantine: "GC_QUARANTINE", uploadGrace: "GC_UPLOAD_GRACE" } as const

/**
 * Returns the settings with the waits that the collectors told. Where they differ, the shortest counts, as for sweeps. A
 * wait that no collector told stays.
 */
export const waitsOf = (settings: SweepSettings, peers: ReadonlyArray<Peer>): SweepSettings => ({
  ...settings,
  ...Object.fromEntries(
    Object.entries(waits).flatMap(([property, name]) => {
      const told = peers.flatMap((peer) => shortDuration(peer.settings[name] ?? "") ?? [])
      return told.length === 0 ? [] : [[property, told.reduce(Duration.min)]]
    })
  )
})
