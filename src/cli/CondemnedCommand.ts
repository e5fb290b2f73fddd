/** `artifact-gc condemned`: lists the blobs that are purged after their quarantine. */
import { Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { CollectorDatabase, type CondemnedBlob } from "../database/Database.ts"
import { printable } from "../domain/printable.ts"
import { pages } from "./Condemned.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

/** Defines the flag that selects what one sweep condemned. */
export const sweepFlag = Flag.String("sweep").pipe(
  Flag.withMetavar("id"),
  Flag.withDescription(
    "Only blobs that this sweep condemned. Reports and `condemned` show the names of sweeps"
  ),
  Flag.optional
)

/** Defines the command `artifact-gc condemned`. */
export const command = Command.make(
  "condemned",
  { sweep: sweepFlag, json: jsonFlag, ...placeFlags },
  Effect.fnUntraced(function* ({ sweep, json, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, list(sweep, json))
  })
).pipe(
  Command.withDescription(
    "List condemned blobs. They are purged after their quarantine, unless a reference appears before; `artifact-gc restore` takes them back"
  ),
  Command.withShortDescription("List blobs that are deleted after their quarantine"),
  Command.withExamples([
    { command: "artifact-gc condemned | less", description: "See what is deleted next" },
    { command: "artifact-gc condemned --json | jq .sizeBytes", description: "For a script" }
  ])
)

const list = Effect.fnUntraced(function* (sweep: Option.Option<string>, json: boolean) {
  yield* (yield* CollectorDatabase).inspect
  const selection = Option.isSome(sweep)
    ? ({ _tag: "Sweep", sweep: sweep.value } as const)
    : ({ _tag: "All" } as const)
  const found = { blobs: 0, bytes: 0 }
  yield* Stream.runForEach(pages(selection), (page) => {
    found.blobs += page.length
    found.bytes += page.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    return json
      ? Effect.forEach(page, (blob) => Print.json(encode(blob)), { discard: true })
      : Print.text(page.map(line).join("\n"))
  })
  if (json) return
  yield* Print.text(`${Text.many(found.blobs, "condemned blob")}, ${Text.bytes(found.bytes)}.`)
})

const at = (instant: number): string => new Date(instant).toISOString()

const encode = ({ condemnedAt, seenAt, ...rest }: CondemnedBlob) => ({
  ...rest,
  seenAt: at(seenAt),
  condemnedAt: at(condemnedAt)
})

const line = ({ condemnedAt, digest, sizeBytes, sweep }: CondemnedBlob): string =>
  `${printable(digest)}  ${Text.bytes(sizeBytes)}  condemned ${at(condemnedAt)} by ${sweep === "" ? "an older version" : printable(sweep)}`
