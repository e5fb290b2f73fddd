/** `artifact-gc journal`: lists the keys that could not be deleted, and puts them back. */
import { Clock, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { ConfigInvalid } from "../config/Config.ts"
import { CollectorDatabase, type DeadLetter } from "../database/Database.ts"
import { ObjectKey } from "../domain/ObjectKey.ts"
import { printable } from "../domain/printable.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

const pageMax = 1000

/** Defines the command `artifact-gc journal`. */
export const command = Command.make(
  "journal",
  {
    retry: Flag.Boolean("retry").pipe(
      Flag.withDescription("Put all dead letters back, or the one named by --key. They are due at once"),
      Flag.withDefault(false)
    ),
    key: Flag.String("key").pipe(
      Flag.withMetavar("key"),
      Flag.withSchema(ObjectKey),
      Flag.withDescription("With --retry: object key of one dead letter"),
      Flag.optional
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ retry, key, json, ...given }) {
    if (Option.isSome(key) && !retry) {
      return yield* new ConfigInvalid({
        problems: ["--key: only allowed with --retry, which puts that key back"]
      })
    }
    const config = yield* configuration(given)
    yield* withServices(config, retry ? putBack(key, json) : show(json))
  })
).pipe(
  Command.withDescription(
    "List dead letters: keys whose objects could not be deleted. --retry puts them back"
  ),
  Command.withShortDescription("List keys whose deletion was given up, or put them back"),
  Command.withExamples([
    { command: "artifact-gc journal", description: "See which keys were given up, and why" },
    {
      command: "artifact-gc journal --retry",
      description: "Put all of them back, once the cause is repaired"
    }
  ])
)

const putBack = Effect.fnUntraced(function* (key: Option.Option<ObjectKey>, json: boolean) {
  const { journal } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  const retried = yield* journal.retry(now, Option.isSome(key) ? [key.value] : "all")
  yield* json
    ? Print.json({ retried })
    : Print.text(
        retried === 0
          ? "There is no dead letter to put back. Nothing was changed."
          : `${Text.many(retried, "dead letter")} put back. The next sweep tries to delete ${retried === 1 ? "it" : "them"}.`
      )
})

const show = Effect.fnUntraced(function* (json: boolean) {
  const { journal, backlog } = yield* CollectorDatabase
  const letters = Stream.paginate(null, (after: ObjectKey | null) =>
    Effect.map(journal.deadLetters(after, pageMax), (page) => {
      const last = page.at(-1)
      return [
        page,
        page.length < pageMax || last === undefined ? Option.none() : Option.some(last.key)
      ] as const
    })
  )
  yield* Stream.runForEach(letters, (letter) => (json ? Print.json(letter) : Print.text(line(letter))))
  if (json) return
  const { journaled, journalDue, deadLetters } = yield* backlog(yield* Clock.currentTimeMillis)
  yield* Print.text(
    `${Text.many(deadLetters, "dead letter")}, ${Text.many(journaled, "key")} journaled, ${Text.count(journalDue)} of them due.`
  )
})

const line = ({ key, sizeBytes, reason, attempts, lastError, deadAt }: DeadLetter): string =>
  `${printable(key)}  ${Text.bytes(sizeBytes)}  ${reason}, ${Text.many(attempts, "attempt")} until ${new Date(deadAt).toISOString()}: ${printable(lastError ?? "")}`
