/** `artifact-gc restore`: condemned blobs taken back, and held until somebody can refer to them again. */
import { Clock, Console, Duration, Effect, Option, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { ConfigInvalid } from "../config/Config.ts"
import { BlobDatabase, CollectorDatabase, type CondemnedSelection } from "../database/Database.ts"
import { Digest } from "../domain/Digest.ts"
import { pageMax, pages } from "./Condemned.ts"
import { sweepFlag } from "./CondemnedCommand.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import { Ended } from "./ExitCode.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

const holdMax = Duration.weeks(520)

export const command = Command.make(
  "restore",
  {
    digest: Flag.String("digest").pipe(
      Flag.withSchema(Digest),
      Flag.withDescription("This blob; may be given again and again"),
      Flag.atLeast(0)
    ),
    sweep: sweepFlag,
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("Everything that stands condemned"),
      Flag.withDefault(false)
    ),
    hold: Flag.String("hold").pipe(
      Flag.withSchema(
        Schema.DurationFromString.check(
          Schema.makeFilter((hold: Duration.Duration) =>
            Duration.isLessThan(hold, Duration.seconds(1)) || Duration.isGreaterThan(hold, holdMax)
              ? "must be between 1 second and 520 weeks"
              : undefined
          )
        )
      ),
      Flag.withDescription(
        "How long they are held without a reference (default 7 days: time to put references back); then they wait for grace and quarantine like any orphan"
      ),
      Flag.withDefault(Duration.days(7))
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ digest: digests, sweep, all, hold, json, ...given }) {
    const chosen: ReadonlyArray<CondemnedSelection> = [
      ...(digests.length > 0 ? [{ _tag: "Digests", digests } as const] : []),
      ...(Option.isSome(sweep) ? [{ _tag: "Sweep", sweep: sweep.value } as const] : []),
      ...(all ? [{ _tag: "All" } as const] : [])
    ]
    const [selection] = chosen
    if (selection === undefined || chosen.length > 1) {
      return yield* new ConfigInvalid({
        problems: ["--digest, --sweep, --all: give exactly one of them, to say what to restore"]
      })
    }
    const config = yield* configuration(given)
    yield* withServices(
      config,
      Effect.gen(function* () {
        yield* (yield* CollectorDatabase).inspect
        yield* selection._tag === "Digests"
          ? restoreNamed(selection.digests, hold, json)
          : restoreMany(selection, hold, json)
      })
    )
  })
).pipe(
  Command.withDescription(
    "Take back condemned blobs, by digest, by sweep or all, and hold them so that references can be put back"
  )
)

const restoreMany = Effect.fnUntraced(function* (
  selection: CondemnedSelection,
  hold: Duration.Duration,
  json: boolean
) {
  const { orphans } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  const heldUntil = now + Duration.toMillis(hold)
  let restored = 0
  yield* Stream.runForEach(pages(selection), (page) =>
    Effect.map(
      orphans.restore(
        now,
        page.map(({ digest }) => digest),
        heldUntil
      ),
      (live) => {
        restored += live.size
      }
    )
  )
  yield* tell(restored, heldUntil, [], json)
})

/** What a person names by mistake must not be held: only what is condemned is restored, and the rest is named. */
const restoreNamed = Effect.fnUntraced(function* (
  digests: ReadonlyArray<Digest>,
  hold: Duration.Duration,
  json: boolean
) {
  const blobs = yield* BlobDatabase
  const { orphans } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  const heldUntil = now + Duration.toMillis(hold)
  const wanted = [...new Set(digests)]
  const restored = new Set<Digest>()
  for (let from = 0; from < wanted.length; from += pageMax) {
    const part = wanted.slice(from, from + pageMax)
    const condemned = yield* orphans.condemned({ _tag: "Digests", digests: part }, null, pageMax)
    const live = yield* orphans.restore(
      now,
      condemned.map(({ digest }) => digest),
      heldUntil
    )
    for (const digest of live) restored.add(digest)
  }
  const others = yield* Effect.forEach(
    wanted.filter((digest) => !restored.has(digest)),
    (digest) =>
      Effect.map(blobs.locate(digest), (found) => ({
        digest,
        why: Option.isSome(found) ? ("not condemned" as const) : ("gone" as const)
      }))
  )
  yield* tell(restored.size, heldUntil, others, json)
  if (others.length > 0) return yield* new Ended({ code: 3 })
})

const reasons = {
  "not condemned": "is not condemned; it lives, and nothing was done",
  gone: "is gone, or was never there; upload it again"
} as const

const tell = (
  restored: number,
  heldUntil: number,
  others: ReadonlyArray<{ readonly digest: Digest; readonly why: keyof typeof reasons }>,
  json: boolean
) => {
  const until = new Date(heldUntil).toISOString()
  return Console.log(
    json
      ? JSON.stringify({ restored, heldUntil: until, others })
      : [
          restored === 0
            ? "Nothing was restored."
            : `${Text.many(restored, "blob")} restored and held until ${until}. Put references back before that; without one they wait for grace and quarantine again, and go.`,
          ...others.map(({ digest, why }) => `${digest} ${reasons[why]}.`)
        ].join("\n")
  )
}
