/** `artifact-gc breaker`: shows what the breakers hold back, and confirms its deletion. */
import { Clock, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import {
  type BreakerName,
  type BreakerState,
  CollectorDatabase,
  type Exposure,
  isOpen
} from "../database/Database.ts"
import * as Manifests from "../oci/phases/Manifests.ts"
import { registryPhases } from "../oci/RegistryPhases.ts"
import * as LostTime from "../sweep/LostTime.ts"
import type { SweepSettings } from "../sweep/Settings.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

/** Defines the command `artifact-gc breaker`. */
export const command = Command.make(
  "breaker",
  {
    confirm: Flag.Boolean("confirm").pipe(
      Flag.withDescription("Close the open breakers: what is condemned now may be deleted"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ confirm, json, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, confirm ? close(json) : show(json, config.sweep))
  })
).pipe(
  Command.withDescription(
    "Show whether a sweep holds back deletions because there are too many. --confirm allows them; `artifact-gc restore` takes condemned blobs back"
  )
)

const close = Effect.fnUntraced(function* (json: boolean) {
  const { breakers } = yield* CollectorDatabase
  const confirmed = yield* breakers.confirm(yield* Clock.currentTimeMillis)
  yield* json
    ? Print.json({ confirmed })
    : Print.text(
        confirmed.length === 0
          ? "No breaker is open. Nothing was changed."
          : `Confirmed: ${confirmed.join(" and ")}. Nothing was deleted yet. The next sweep deletes what is condemned or untagged now and has waited long enough.`
      )
})

const show = Effect.fnUntraced(function* (json: boolean, settings: SweepSettings) {
  const { breakers } = yield* CollectorDatabase
  const manifests = yield* breakers.read("manifests")
  const orphans = yield* breakers.read("orphans")
  const leftovers = yield* breakers.read("leftovers")
  const further = yield* Effect.forEach(others, ({ name }) => breakers.read(name))
  const always = -1
  const now = yield* breakers.exposure(orphans.confirmedAt, always)
  const untagged = yield* Manifests.breaker.exposure(
    settings,
    manifests.confirmedAt,
    yield* Clock.currentTimeMillis,
    always
  )
  yield* json
    ? Print.json({
        orphans: { ...stateOf(orphans), condemnedSince: now },
        leftovers: stateOf(leftovers),
        manifests: {
          ...stateOf(manifests),
          untaggedSince: { untagged: untagged.blobs, total: untagged.totalBlobs }
        },
        ...Object.fromEntries(further.map((state) => [state.name, stateOf(state)]))
      })
    : Print.text(
        [
          ...lines(orphans),
          `  ${shareOf(now)} condemned${sinceOf(orphans)}`,
          ...lines(leftovers),
          // Operators without a registry need not learn about untagged manifests.
          ...(untagged.totalBlobs === 0 && manifests.trippedAt === null
            ? []
            : [
                ...lines(manifests),
                `  ${manifestsOf(untagged.blobs, untagged.totalBlobs)} untagged for longer than GC_UNTAGGED_GRACE${sinceOf(manifests)}`
              ]),
          ...further.flatMap(lines)
        ].join("\n")
      )
})

const at = (instant: number | null): string | null =>
  instant === null ? null : new Date(instant).toISOString()

const stateOf = (state: BreakerState) => ({
  open: isOpen(state),
  trippedAt: at(state.trippedAt),
  exposure: state.exposure,
  confirmedAt: at(state.confirmedAt)
})

const lines = (state: BreakerState): ReadonlyArray<string> => {
  const { confirmedAt, exposure, name, trippedAt } = state
  if (trippedAt === null || exposure === null) return [`${name}: closed; it has never tripped`]
  const other = others.find((breaker) => breaker.name === name)
  const opened = `${at(trippedAt)} over ${(describe[name] ?? other?.describe)?.(exposure) ?? exposure.blobs}`
  return isOpen(state)
    ? [
        `${name}: OPEN since ${opened}`,
        `  To see them: ${look[name] ?? other?.look}. To delete them: artifact-gc breaker --confirm.`
      ]
    : [`${name}: closed; tripped ${opened}, confirmed ${at(confirmedAt)}`]
}

const sinceOf = ({ confirmedAt }: BreakerState): string =>
  confirmedAt === null ? "" : " since the confirmation"

const look: Record<BreakerName, string> = {
  manifests: "docs/operations.md, untagged manifests",
  orphans: "artifact-gc condemned",
  leftovers: "artifact-gc audit"
}

const percent = (part: number, whole: number): string =>
  whole === 0 ? "" : ` (${((100 * part) / whole).toFixed(1)} %)`

const shareOf = ({ blobs, bytes, totalBlobs, totalBytes }: Exposure): string =>
  `${Text.count(blobs)} of ${Text.many(totalBlobs, "blob")}${percent(blobs, totalBlobs)}, ${Text.bytes(bytes)} of ${Text.bytes(totalBytes)}${percent(bytes, totalBytes)}`

const manifestsOf = (untagged: number, total: number): string =>
  `${Text.count(untagged)} of ${Text.many(total, "manifest")}${percent(untagged, total)}`

const objectsOf = ({ blobs, totalBlobs }: Exposure): string =>
  `${Text.count(blobs)} of ${Text.many(totalBlobs, "object")}${percent(blobs, totalBlobs)} that nothing owns`

const describe: Record<BreakerName, (exposure: Exposure) => string> = {
  manifests: ({ blobs, totalBlobs }) => `${manifestsOf(blobs, totalBlobs)} that nothing needs`,
  orphans: shareOf,
  leftovers: objectsOf
}

/** The breakers of phases that this command has no words of its own for. */
const others = [LostTime.breaker, ...registryPhases.flatMap(({ breaker }) => breaker ?? [])].filter(
  ({ name }) => !(name in describe)
)
