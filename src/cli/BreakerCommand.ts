/** `artifact-gc breaker`: what the breakers stopped, and a person's word that it may go. */
import { Clock, Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { type BreakerState, Database, type Exposure, isOpen } from "../database/Database.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

export const command = Command.make(
  "breaker",
  {
    confirm: Flag.Boolean("confirm").pipe(
      Flag.withDescription("Close what is open: what stands condemned now may go"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ confirm, json, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, confirm ? close(json) : show(json))
  })
).pipe(
  Command.withDescription(
    "Show whether so much would go that a person must confirm; --confirm lets it go, artifact-gc restore takes it back"
  )
)

const close = Effect.fnUntraced(function* (json: boolean) {
  const { breakers } = yield* Database
  const confirmed = yield* breakers.confirm(yield* Clock.currentTimeMillis)
  yield* Console.log(
    json
      ? JSON.stringify({ confirmed })
      : confirmed.length === 0
        ? "No breaker is open; there was nothing to confirm."
        : `Confirmed: ${confirmed.join(" and ")}. The next sweep purges what stands condemned and has waited.`
  )
})

const show = Effect.fnUntraced(function* (json: boolean) {
  const { breakers } = yield* Database
  const orphans = yield* breakers.read("orphans")
  const leftovers = yield* breakers.read("leftovers")
  const always = -1
  const now = yield* breakers.exposure(orphans.confirmedAt, always)
  yield* Console.log(
    json
      ? JSON.stringify({
          orphans: { ...stateOf(orphans), condemnedSince: now },
          leftovers: stateOf(leftovers)
        })
      : [
          ...lines(orphans),
          `  ${shareOf(now)} stand condemned${orphans.confirmedAt === null ? "" : " since the confirmation"}`,
          ...lines(leftovers)
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
  if (trippedAt === null || exposure === null) return [`${name}: closed; it never opened`]
  const opened = `${at(trippedAt)} over ${name === "orphans" ? shareOf(exposure) : objectsOf(exposure)}`
  return isOpen(state)
    ? [
        `${name}: OPEN since ${opened}`,
        `  Look: artifact-gc ${name === "orphans" ? "condemned" : "audit"}. If it is right that they go: artifact-gc breaker --confirm.`
      ]
    : [`${name}: closed; opened ${opened}, confirmed ${at(confirmedAt)}`]
}

const percent = (part: number, whole: number): string =>
  whole === 0 ? "" : ` (${((100 * part) / whole).toFixed(1)} %)`

const shareOf = ({ blobs, bytes, totalBlobs, totalBytes }: Exposure): string =>
  `${Text.count(blobs)} of ${Text.many(totalBlobs, "blob")}${percent(blobs, totalBlobs)}, ${Text.bytes(bytes)} of ${Text.bytes(totalBytes)}${percent(bytes, totalBytes)}`

const objectsOf = ({ blobs, totalBlobs }: Exposure): string =>
  `${Text.count(blobs)} of ${Text.many(totalBlobs, "object")}${percent(blobs, totalBlobs)} that nothing owns`
