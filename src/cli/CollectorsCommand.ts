/** `artifact-gc collectors`: lists the collectors of this catalogue, and forgets one that was killed. */
import { Clock, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { CollectorDatabase, type Peer } from "../database/Database.ts"
import { printable } from "../domain/printable.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import { Ended } from "./ExitCode.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

/** Defines the command `artifact-gc collectors`. */
export const command = Command.make(
  "collectors",
  {
    forget: Flag.String("forget").pipe(
      Flag.withMetavar("collector"),
      Flag.withDescription(
        "Forget this collector, which was killed, so that collectors with other settings need not wait for GC_PRESENCE. One that is alive registers again at its next sweep"
      ),
      Flag.optional
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ forget, json, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, Option.isSome(forget) ? forgetOne(forget.value, json) : show(json))
  })
).pipe(
  Command.withDescription(
    "List the collectors at work on this catalogue, with the settings on which all must agree. --forget removes one that was killed"
  ),
  Command.withShortDescription("List the collectors at work, or forget a killed one"),
  Command.withExamples([
    { command: "artifact-gc collectors", description: "See who sweeps, with which waits" },
    {
      command: "artifact-gc collectors --forget=host/4214",
      description: "Forget a collector that was killed"
    }
  ])
)

/** The name of no collector, so that all are read. */
const noCollector = ""

const all = Effect.gen(function* () {
  const { peers } = yield* CollectorDatabase
  return yield* peers.others(yield* Clock.currentTimeMillis, noCollector)
})

const show = Effect.fnUntraced(function* (json: boolean) {
  const found = yield* all
  if (json) return yield* Effect.forEach(found, (peer) => Print.json(encode(peer)), { discard: true })
  yield* Print.text([...found.map(lines), `${Text.many(found.length, "collector")} at work.`].join("\n"))
})

const forgetOne = Effect.fnUntraced(function* (id: string, json: boolean) {
  const { peers } = yield* CollectorDatabase
  const known = (yield* all).some((peer) => peer.id === id)
  if (known) yield* peers.leave(id)
  yield* json
    ? Print.json({ forgotten: known })
    : Print.text(
        known
          ? `Collector ${printable(id)} is forgotten. Nothing was deleted. If it is alive, it registers again at its next sweep.`
          : `There is no collector ${printable(id)}. Nothing was changed. To see all: artifact-gc collectors.`
      )
  if (!known) return yield* new Ended({ code: 3 })
})

const at = (instant: number): string => new Date(instant).toISOString()

const encode = ({ id, seenAt, settings }: Peer) => ({ id, seenAt: at(seenAt), settings })

const lines = ({ id, seenAt, settings }: Peer): string =>
  [
    `${printable(id)}  last sweep ${at(seenAt)}`,
    ...Object.entries(settings).map(([name, value]) => `  ${printable(name)}: ${printable(value)}`)
  ].join("\n")
