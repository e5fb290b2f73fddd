/** `artifact-gc migrate`: the collector's tables beside a catalogue. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { migrate } from "../database/Postgres.ts"
import { clientLayer } from "../Live.ts"
import { configuration, noticeOf, placeFlags } from "./Configured.ts"
import { jsonFlag } from "./SweepCommand.ts"

export const command = Command.make(
  "migrate",
  {
    createCatalog: Flag.Boolean("create-catalog").pipe(
      Flag.withDescription("Create an empty catalogue (blobs, artifacts, local_files) where there is none"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ createCatalog, json, ...given }) {
    const config = yield* configuration(given)
    yield* noticeOf(config)
    const applied = yield* Effect.provide(
      migrate(config.names, { createCatalog: createCatalog || config.place._tag === "Embedded" }),
      clientLayer(config)
    )
    const names = applied.map(([id, name]) => `${String(id).padStart(4, "0")}_${name}`)
    yield* Console.log(
      json
        ? JSON.stringify({ applied: names })
        : names.length === 0
          ? "Nothing to do: the collector's tables are up to date."
          : `Applied ${names.join(", ")} in schema ${config.names.collectorSchema}.`
    )
  })
).pipe(
  Command.withDescription(
    "Install or update the collector's own tables; an existing catalogue is not touched"
  )
)
