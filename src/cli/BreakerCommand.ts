/** `artifact-gc breaker`: shows what the breakers hold back, and confirms its deletion. */
import { Clock, Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import {
  type BreakerName,
  type BreakerState,
  CollectorDatabase,
  type Exposure,
  historyMillis,
  isOpen
} from "../database/Database.ts"
import * as Manifests from "../oci/phases/Manifests.ts"
import { registryPhases } from "../oci/RegistryPhases.ts"
import type { Breaker } from "../sweep/Breaker.ts"
import * as FirstReference from "../sweep/FirstReference.ts"
import * as LostTime from "../sweep/LostTime.ts"
import { referencesBreaker } from "../sweep/preflight/ReferencesGuard.ts"
import { sourcesBreaker } from "../sweep/preflight/SourcesGuard.ts"
import type { SweepSettings } from "../sweep/Settings.ts"
import * as Usual from "../sweep/Usual.ts"
import * as BreakerText from "./BreakerText.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

/** Defines the command `artifact-gc breaker`. */
export const command = Command.make(
  "breaker",
  {
    names: Argument.String("breaker").pipe(
      Argument.withDescription("The breakers to confirm, e.g. orphans. Without any: all that are open"),
      Argument.variadic()
    ),
    confirm: Flag.Boolean("confirm").pipe(
      Flag.withDescription("Close the open breakers, so that sweeps delete what they hold back"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ confirm, json, names, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, confirm ? close(json, names) : show(json, config.sweep))
  })
).pipe(
  Command.withDescription(
    "Show whether a sweep holds back deletions because there are too many. --confirm allows them; `artifact-gc restore` takes condemned blobs back"
  ),
  Command.withShortDescription("Show what is held back, or allow its deletion"),
  Command.withExamples([
    { command: "artifact-gc breaker", description: "See what is held back, and what is usual here" },
    { command: "artifact-gc breaker --confirm orphans", description: "Allow its deletion" }
  ])
)

const close = Effect.fnUntraced(function* (json: boolean, names: ReadonlyArray<string>) {
  const { breakers } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  const confirmed = yield* breakers.confirm(now, names.length === 0 ? undefined : names)
  const others = names.filter((name) => !confirmed.includes(name))
  const notOpen = others.map((name) => `The breaker ${name} is not open.`)
  if (json) return yield* Print.json({ confirmed })
  yield* Print.text(
    confirmed.length === 0
      ? [...notOpen, ...(names.length === 0 ? ["No breaker is open."] : []), "Nothing was changed."].join(" ")
      : [
          `Confirmed: ${confirmed.join(" and ")}. Nothing was deleted yet. ${BreakerText.afterConfirming(confirmed)}`,
          ...notOpen
        ].join(" ")
  )
})

/** Says what is usual for a breaker that is open; null for a closed one. */
const usualOf = Effect.fnUntraced(function* (state: BreakerState) {
  const { breakers } = yield* CollectorDatabase
  if (!isOpen(state) || state.exposure === null) return null
  const history = yield* breakers.history(state.name, (yield* Clock.currentTimeMillis) - historyMillis)
  return Usual.describe(history, state.confirmedAt, state.exposure)
})

const show = Effect.fnUntraced(function* (json: boolean, settings: SweepSettings) {
  const { breakers } = yield* CollectorDatabase
  const tripped = yield* breakers.list
  const stateOfBreaker = (name: BreakerName): BreakerState =>
    tripped.find((state) => state.name === name) ?? {
      name,
      trippedAt: null,
      exposure: null,
      confirmedAt: null
    }
  const [orphans, leftovers, manifests] = [
    stateOfBreaker("orphans"),
    stateOfBreaker("leftovers"),
    stateOfBreaker("manifests")
  ]
  const further = tripped.filter(({ name }) => !["orphans", "leftovers", "manifests"].includes(name))
  const usual = new Map<BreakerName, string | null>()
  for (const state of tripped) usual.set(state.name, yield* usualOf(state))
  const told = (state: BreakerState) => lines(state, usual.get(state.name) ?? null)
  const always = -1
  const at = yield* Clock.currentTimeMillis
  const now = yield* breakers.exposure(orphans.confirmedAt, always)
  const untagged = yield* Manifests.breaker.exposure(settings, manifests.confirmedAt, at, always)
  if (json) {
    return yield* Print.json({
      orphans: { ...stateOf(orphans), condemnedSince: now },
      leftovers: stateOf(leftovers),
      manifests: {
        ...stateOf(manifests),
        untaggedSince: { untagged: untagged.blobs, total: untagged.totalBlobs }
      },
      ...Object.fromEntries(further.map((state) => [state.name, stateOf(state)]))
    })
  }
  yield* Print.text(
    [
      ...told(orphans),
      `  ${shareOf(now)} condemned${sinceOf(orphans)}`,
      ...told(leftovers),
      // Operators without a registry need not learn about untagged manifests.
      ...(untagged.totalBlobs === 0 && manifests.trippedAt === null
        ? []
        : [
            ...told(manifests),
            `  ${manifestsOf(untagged.blobs, untagged.totalBlobs)} without a tag for longer than GC_UNTAGGED_GRACE, because it was deleted${sinceOf(manifests)}`
          ]),
      ...further.flatMap(told)
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

const lines = (state: BreakerState, usual: string | null): ReadonlyArray<string> => {
  const { confirmedAt, exposure, name, trippedAt } = state
  if (trippedAt === null || exposure === null) return [`${name}: closed; it has never tripped`]
  const other = others.find((breaker) => breaker.name === name)
  const words = exposure.blobs > 0 ? (describe[name] ?? other?.describe)?.(exposure) : undefined
  const over = words ?? (exposure.blobs > 0 ? Text.count(exposure.blobs) : null)
  const opened = `${at(trippedAt)}${over === null ? "" : ` over ${over}`}`
  return isOpen(state)
    ? [
        `${name}: OPEN since ${opened}`,
        ...(usual === null || exposure.totalBlobs === 0 ? [] : [`  ${usual}.`]),
        `  ${lookOf(name, other?.look)} ${BreakerText.advice(name)}`
      ]
    : [`${name}: closed; tripped ${opened}, confirmed ${at(confirmedAt)}`]
}

/** The refused sweep says what the breaker of a guard found. */
const lookOf = (name: BreakerName, other: string | undefined): string =>
  look[name] !== undefined
    ? `To see them: ${look[name]}.`
    : `${other ?? "artifact-gc sweep --dry-run says what was found"}.`

const sinceOf = ({ confirmedAt }: BreakerState): string =>
  confirmedAt === null ? "" : " since the confirmation"

const look: Record<BreakerName, string> = {
  manifests: "docs/operations.md#untagged-manifests",
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

/** The breakers that this command has no words of its own for: of phases and of guards. */
const others: ReadonlyArray<Breaker<unknown>> = [
  LostTime.breaker,
  FirstReference.breaker,
  referencesBreaker,
  sourcesBreaker,
  ...registryPhases.flatMap(({ breaker }) => breaker ?? [])
].filter(({ name }) => !(name in describe))
