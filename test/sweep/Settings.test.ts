/** Settings as values are judged as strictly as those of the environment, in the words of a program. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { SettingsInvalid } from "../../src/domain/SettingsInvalid.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { defaultSettings, make, type SettingsInput } from "../../src/sweep/Settings.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { sweepSettings } from "../../src/sweep/settingsTable.ts"
import { problems as problemsOf } from "../config/reading.ts"
import * as AllDatabases from "../fixtures/Database.ts"

const problems = (values: SettingsInput) =>
  Effect.match(make(values), {
    onFailure: (error): ReadonlyArray<string> => error.problems,
    onSuccess: () => []
  })

describe("settings as values", () => {
  it.effect("have all defaults, and quarantine follows grace", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* make(), defaultSettings)
      assert.deepStrictEqual(yield* make({ grace: undefined }), defaultSettings)
      const { grace, quarantine } = yield* make({ grace: "2 hours" })
      assert.deepStrictEqual([grace, quarantine], [Duration.hours(2), Duration.hours(2)])
      const own = yield* make({ grace: "2 hours", quarantine: 0 })
      assert.deepStrictEqual(own.quarantine, Duration.zero)
    })
  )

  it.effect("take durations in every form, and null where the environment takes none", () =>
    Effect.gen(function* () {
      const forms = [90_000, "90 seconds", Duration.seconds(90), { seconds: 90 }, 90_000_000_000n] as const
      for (const grace of forms) assert.strictEqual(Duration.toSeconds((yield* make({ grace })).grace), 90)
      const { keysPerSecondMax, untaggedGrace } = yield* make({ untaggedGrace: null, keysPerSecondMax: null })
      assert.deepStrictEqual([untaggedGrace, keysPerSecondMax], [null, null])
    })
  )

  it.effect("that are wrong are listed all at once, by their names", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* problems({
          grace: "-1 second" as Duration.Input,
          lease: "1 second",
          batchMax: 1001,
          deleteConcurrency: 1.5,
          breakerPercent: "20" as never,
          mixedSettings: "maybe" as never,
          uploadPrefix: "blobs/x/",
          backoffBase: "2 days",
          leftoverCutFrom: 0,
          grce: "1 hour"
        } as SettingsInput),
        [
          'grace: must be between 0 seconds and 520 weeks; write a duration such as "90 seconds" or "1 hour"',
          'lease: must be between 30 seconds and 520 weeks; write a duration such as "90 seconds" or "1 hour"',
          "batchMax: Expected a value between 1 and 1000; write a whole number from 1 to 1000",
          "deleteConcurrency: Expected an integer; write a whole number from 1 to 256",
          "breakerPercent: Expected number; write a whole number from 0 to 100",
          'mixedSettings: Expected "refuse" | "allow"; write refuse or allow',
          "leftoverCutFrom: write a whole number of at least 1",
          "grce: not a setting. Did you mean grace?",
          "backoffCap: must not be less than backoffBase",
          "blobPrefix: must not overlap uploadPrefix, or blobs would look like staged uploads"
        ]
      )
    })
  )

  it.effect("fail the layer before anything begins", () =>
    Effect.gen(function* () {
      const error = yield* Sweep.layer({ lease: "1 second" }).pipe(
        Layer.provide([AllDatabases.inMemory(), MemoryStorage.layer]),
        Layer.build,
        Effect.scoped,
        Effect.flip
      )
      assert.instanceOf(error, SettingsInvalid)
      assert.match(error.message, /^Invalid settings; nothing was done:\n {2}lease: /)
    })
  )

  /** Values that each form refuses, as the environment writes them and as a program does. */
  const wrong = {
    duration: [
      ["-1 second", "-1 second"],
      ["521 weeks", Duration.weeks(521)],
      ["x", "x"]
    ],
    number: [
      ["0.5", 0.5],
      ["-1", -1],
      ["1e12", 1e12],
      ["x", "x"]
    ],
    word: [["sometimes", "sometimes"]]
  } as const

  const formOf = (form: string): keyof typeof wrong | null => {
    if (form.includes("duration")) return "duration"
    if (form.includes("whole number")) return "number"
    return form.includes(" or ") ? "word" : null
  }

  for (const [name, { env, form }] of Object.entries(sweepSettings)) {
    const kind = formOf(form)
    if (kind === null) continue
    it.effect(`judge ${name} as ${env} is judged`, () =>
      Effect.gen(function* () {
        for (const [text, value] of wrong[kind]) {
          const [ours] = yield* problems({ [name]: value })
          const [theirs] = yield* problemsOf({ [env]: text })
          assert.isDefined(theirs, text)
          assert.isTrue(ours?.startsWith(`${name}: `), text)
        }
      })
    )
  }
})
