/** `artifact-gc restore`: takes condemned blobs back, and pins them until references are put back. */
import { Clock, Duration, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { ConfigInvalid } from "../config/Config.ts"
import { BlobDatabase, CollectorDatabase, type CondemnedSelection } from "../database/Database.ts"
import { Digest } from "../domain/Digest.ts"
import { printable } from "../domain/printable.ts"
import { pageMax, pages } from "./Condemned.ts"
import { sweepFlag } from "./CondemnedCommand.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import { Ended } from "./ExitCode.ts"
import { GivenTime } from "./Order.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

/** Defines the command `artifact-gc restore`. */
export const command = Command.make(
  "restore",
  {
    digest: Flag.String("digest").pipe(
      Flag.withMetavar("digest"),
      Flag.withSchema(Digest),
      Flag.withDescription("Restore this blob; may be given several times"),
      Flag.atLeast(0)
    ),
    sweep: sweepFlag,
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("Restore everything that is condemned"),
      Flag.withDefault(false)
    ),
    hold: Flag.String("hold").pipe(
      Flag.withMetavar("duration"),
      Flag.withSchema(GivenTime),
      Flag.withDescription(
        "Time for which they are kept without a reference (default 7 days: time to put references back). After it they wait for GC_GRACE and GC_QUARANTINE like any orphan"
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
        problems: ["--digest, --sweep, --all: give exactly one of them to select what to restore"]
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
    "Take back condemned blobs, by digest, by sweep or all, and keep them until references are put back"
  ),
  Command.withShortDescription("Take back condemned blobs"),
  Command.withExamples([
    {
      command: "artifact-gc restore --all --hold='14 days'",
      description: "Take everything back, and keep it for two weeks"
    },
    { command: "artifact-gc restore --digest=sha256:…", description: "Take one blob back" }
  ])
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

/**
 * Restores only the blobs that are condemned, and reports the others. A blob named by mistake is not pinned.
 */
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
  "not condemned": "is not condemned; nothing was changed",
  gone: "is not in the catalogue; upload it again"
} as const

const tell = (
  restored: number,
  heldUntil: number,
  others: ReadonlyArray<{ readonly digest: Digest; readonly why: keyof typeof reasons }>,
  json: boolean
) => {
  const until = new Date(heldUntil).toISOString()
  return json
    ? Print.json({ restored, heldUntil: until, others })
    : Print.text(
        [
          restored === 0
            ? "Nothing was restored."
            : `${Text.many(restored, "blob")} restored and kept until ${until}. Put references back before that. Without a reference they are deleted after GC_GRACE and GC_QUARANTINE.`,
          ...others.map(({ digest, why }) => `${printable(digest)} ${reasons[why]}.`)
        ].join("\n")
      )
}
