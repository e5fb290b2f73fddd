/**
 * The settings guard. All collectors of one catalogue must mean the same by garbage. Where their waits differ, the shortest
 * is in force. Where their stores differ, one deletes rows and finds no objects.
 */
import { Duration, Effect, Exit, Option } from "effect"
import { CollectorDatabase, type Peer } from "../../database/Database.ts"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import { SettingsRefused } from "../../domain/Refusals.ts"
import { Storage } from "../../storage/Storage.ts"
import type { SweepSettings } from "../Settings.ts"
import { sweepSettings } from "../settingsTable.ts"
import type { GuardContext } from "./Guard.ts"

/**
 * Registers this collector and reads the others. A dry run only reads. Fails with `SettingsRefused` for the first that has
 * other settings. Where settings may differ, returns a finding for each that does.
 */
export const settingsGuard = Effect.fnUntraced(function* ({
  activity,
  dryRun,
  id,
  now,
  settings,
  sources,
  tellRegistered
}: GuardContext) {
  const { peers: collectors } = yield* CollectorDatabase
  const { description } = yield* Storage
  const names = sources.map(({ name }) => name).sort()
  const ours = {
    ...sharedSettings(settings, description),
    "reference sources": names.length === 0 ? "none" : names.join(", ")
  }
  const peers = dryRun
    ? yield* collectors.others(now, id)
    : yield* Effect.onExit(
        collectors.register(now, now + Duration.toMillis(settings.presence), {
          id,
          settings: ours,
          ...(activity === null ? {} : { activity })
        }),
        (exit) => (isRefused(exit) ? Effect.void : Effect.sync(tellRegistered))
      )
  const differing = peers.flatMap((peer) => {
    const differences = differencesOf(ours, peer)
    return differences.length === 0
      ? []
      : [new SettingsRefused({ peer: peer.id, seenAt: new Date(peer.seenAt).toISOString(), differences })]
  })
  const [first] = differing
  if (settings.mixedSettings === "refuse" && first !== undefined) return yield* first
  return differing.map(
    ({ differences, peer, seenAt }) =>
      `Collector ${peer} (last sweep ${seenAt}) has other settings (${differences.join("; ")}); GC_MIXED_SETTINGS (mixedSettings) lets it pass.`
  )
})

/** The database refused the row. After any other failure the row may exist. */
const isRefused = (exit: Exit.Exit<unknown, DatabaseError>): boolean =>
  Option.exists(Exit.findErrorOption(exit), ({ isRetryable }) => !isRetryable)

/** Returns the settings in which all collectors of a catalogue must agree, by name. */
export const sharedSettings = (settings: SweepSettings, store: string): Peer["settings"] => ({
  GC_GRACE: Duration.format(settings.grace),
  GC_QUARANTINE: Duration.format(settings.quarantine),
  GC_DELETE_DELAY: Duration.format(settings.deleteDelay),
  GC_UPLOAD_PREFIX: settings.uploadPrefix,
  GC_UPLOAD_GRACE: Duration.format(settings.uploadGrace),
  GC_BLOB_PREFIX: settings.blobPrefix,
  GC_UNTAGGED_GRACE: settings.untaggedGrace === null ? "none" : Duration.format(settings.untaggedGrace),
  GC_REFERRERS: settings.referrers,
  GC_LEFTOVER_GRACE: Duration.format(settings.leftoverGrace),
  GC_WRITER_PATIENCE: settings.writerPatience === null ? "none" : Duration.format(settings.writerPatience),
  ...(settings.unannouncedWriters === null ? {} : { GC_UNANNOUNCED_WRITERS: settings.unannouncedWriters }),
  "S3_BUCKET or FILES_DIRECTORY": store
})

const properties: ReadonlyMap<string, string> = new Map(
  Object.entries(sweepSettings).map(([property, { env }]) => [env, property])
)

/** Returns a setting's name as an operator and as a program know it. */
const withProperty = (env: string): string => {
  const property = properties.get(env)
  return property === undefined ? env : `${env} (${property})`
}

/** Compares only what both know: a newer version may have settings that an older one lacks. */
const differencesOf = (ours: Peer["settings"], { settings: theirs }: Peer): ReadonlyArray<string> =>
  Object.entries(ours).flatMap(([name, value]) => {
    const other = theirs[name]
    if (other === undefined || other === value) return []
    return [`${withProperty(name)}: ${value} here, ${other} there`]
  })
