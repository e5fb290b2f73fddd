/** `artifact-gc rebind`: shows to what the collector's tables are bound, and binds them to what the settings name. */
import { Clock, Duration, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { type BindingState, type Bound, CollectorDatabase, type Identity } from "../database/Database.ts"
import { RebindRefused } from "../domain/Refusals.ts"
import { Storage } from "../storage/Storage.ts"
import { differencesOf, identityOf } from "../sweep/preflight/BindingGuard.ts"
import {
  defaultShareMin,
  isTooFew,
  type Looked,
  look,
  refuse,
  verdictSize
} from "../sweep/preflight/KeysGuard.ts"
import type { SweepSettings } from "../sweep/Settings.ts"
import { configuration, sweepFlags, withServices } from "./Configured.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

/** Defines the command `artifact-gc rebind`. */
export const command = Command.make(
  "rebind",
  {
    confirm: Flag.Boolean("confirm").pipe(
      Flag.withDescription(
        "Bind the tables to the catalogue, the store and the database that these settings name"
      ),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...sweepFlags
  },
  Effect.fnUntraced(function* ({ confirm, json, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, rebind(config.sweep, confirm, json))
  })
).pipe(
  Command.withDescription(
    "Show to which catalogue and store the collector's tables are bound, and what the settings name. --confirm binds them anew; the journal of a former store is forgotten, and no object is deleted"
  ),
  Command.withShortDescription("Bind the tables to another catalogue or store"),
  Command.withExamples([
    { command: "artifact-gc rebind", description: "See what differs. Nothing is changed" },
    { command: "artifact-gc rebind --confirm", description: "After the store was moved on purpose" }
  ])
)

const rebind = Effect.fnUntraced(function* (settings: SweepSettings, confirm: boolean, json: boolean) {
  const database = yield* CollectorDatabase
  yield* (yield* Storage).probe
  yield* database.inspect
  const state = yield* database.binding.read
  const ours = yield* identityOf(settings, state)
  const looked = yield* look(settings, verdictSize)
  if (state.bound === null)
    return yield* tell(json, { bound: null, here: ours, looked: countsOf(looked) }, unbound)
  const differences = differencesOf(state.bound, ours, state)
  const found = { bound: boundOf(state.bound), here: ours, differences, looked: countsOf(looked) }
  const text = showing(state.bound, ours, differences, looked, settings)
  if (!confirm) return yield* tell(json, found, [...text, closing(differences, looked)])
  const forgotten = yield* bindAnew(settings, state, state.bound, ours, looked)
  yield* tell(json, { ...found, forgotten }, [...text, done(forgotten)])
})

const tell = (json: boolean, value: object, lines: ReadonlyArray<string>) =>
  json ? Print.json(value) : Print.text(lines.join("\n"))

const unbound = [
  "The collector's tables are not bound yet. The first sweep binds them to what its settings name. Nothing was changed."
]

const isStore = (name: string): boolean => /^(store|S3_|FILES_)/.test(name)
const isCatalogue = (name: string): boolean => /CATALOG_|^catalogue$/.test(name)

/** Binds the tables. Waits for no collector: one that is at work would go on with the former settings. */
const bindAnew = Effect.fnUntraced(function* (
  settings: SweepSettings,
  { here }: BindingState,
  bound: Bound,
  ours: Identity,
  looked: Looked
) {
  const { binding, peers } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  const atWork = yield* peers.others(now, "")
  if (atWork.length > 0) return yield* new RebindRefused({ collectors: atWork.map(({ id }) => id) })
  const found = looked.sampled - looked.missing.length
  if (found === 0 && isTooFew(looked, defaultShareMin)) return yield* refuse(looked)
  const changed = Object.entries(ours).filter(
    ([name, value]) => bound.identity[name] !== undefined && bound.identity[name] !== value
  )
  if (bound.server !== null && here.server !== null && bound.server !== here.server) {
    const from = (bound.sweptAt ?? bound.boundAt) - Duration.toMillis(settings.uploadGrace)
    const why = "it is a copy, or was restored from a dump"
    yield* binding.suspect({ from, to: now, foundAt: now, why }, here, bound.usualGapMillis)
  }
  return yield* binding.rebind(
    now,
    ours,
    here,
    isTooFew(looked, defaultShareMin) ? found / looked.sampled - (1 - defaultShareMin) : defaultShareMin,
    { store: changed.some(([name]) => isStore(name)), catalogue: changed.some(([name]) => isCatalogue(name)) }
  )
})

const boundOf = ({ boundAt, identity, sweptAt }: Bound) => ({
  boundAt: new Date(boundAt).toISOString(),
  sweptAt: sweptAt === null ? null : new Date(sweptAt).toISOString(),
  identity
})

const countsOf = ({ missing, sampled }: Looked) => ({ sampled, missing: missing.length })

const showing = (
  { boundAt, identity }: Bound,
  ours: Identity,
  differences: ReadonlyArray<string>,
  { missing, sampled }: Looked,
  { grace }: SweepSettings
): ReadonlyArray<string> => [
  `The collector's tables are bound since ${new Date(boundAt).toISOString()} to:`,
  ...Object.entries(identity).map(([name, value]) => `  ${name}: ${value}`),
  ...(differences.length === 0
    ? ["The settings name the same."]
    : ["The settings name another place:", ...differences.map((line) => `  ${line}`)]),
  ...Object.keys(ours)
    .filter((name) => identity[name] === undefined)
    .map((name) => `  ${name}: ${ours[name]} here, unknown to the binding`),
  sampled === 0
    ? `No blob is older than GC_GRACE (${Duration.format(grace)}), so no object was looked up.`
    : `${Text.count(sampled - missing.length)} of ${Text.many(sampled, "row")} drawn at random have an object in the store that the settings name.`
]

const closing = (differences: ReadonlyArray<string>, looked: Looked): string =>
  differences.length === 0 && !isTooFew(looked, defaultShareMin)
    ? "Nothing is to be done, and nothing was changed."
    : "Nothing was changed. To bind the tables to what the settings name, stop all collectors and add --confirm. The journal and the unfinished uploads of a former store are then forgotten, and their objects stay there."

const done = (forgotten: {
  readonly journaled: number
  readonly uploads: number
  readonly orphans: number
}) =>
  `Bound to what the settings name. Forgotten: ${Text.many(forgotten.journaled, "journaled key")} and ${Text.many(forgotten.uploads, "unfinished upload")} of a former store, whose objects stay there, and ${Text.many(forgotten.orphans, "sighting")} of a former catalogue. No object was deleted.`
