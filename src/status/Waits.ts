/** The waits by which rows become due: those of the collectors at work, which an operator's environment may not have. */
import { Duration } from "effect"
import type { Peer } from "../database/Database.ts"
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
      const told = peers.flatMap((peer) => durationOf(peer.settings[name]) ?? [])
      return told.length === 0 ? [] : [[property, told.reduce(Duration.min)]]
    })
  )
})

const units: Readonly<Record<string, Duration.Input>> = {
  d: "1 day",
  h: "1 hour",
  m: "1 minute",
  s: "1 second",
  ms: "1 milli",
  us: "1 micro",
  ns: "1 nano"
}

/** Reads what `Duration.format` wrote; null if it is something else. */
export const durationOf = (text: string | undefined): Duration.Duration | null => {
  if (text === "0") return Duration.zero
  if (text === undefined || !/^\d+(d|h|m|s|ms|us|ns)( \d+(d|h|m|s|ms|us|ns))*$/.test(text)) return null
  return text
    .split(" ")
    .map((part) => {
      const [, count = "", unit = ""] = /^(\d+)(\D+)$/.exec(part) ?? []
      return Duration.times(Duration.fromInputUnsafe(units[unit] ?? 0), Number(count))
    })
    .reduce(Duration.sum)
}
