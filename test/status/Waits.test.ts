/** Waits that a collector told in its own words, read back by `status`. */
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { waitsOf } from "../../src/status/Waits.ts"
import { defaultSettings } from "../../src/sweep/Settings.ts"

const peer = (id: string, settings: Readonly<Record<string, string>>) => ({
  id,
  seenAt: 0,
  settings,
  activity: null
})

describe("waits of the status", () => {
  it("are those of the environment where no collector told any, or told what cannot be read", () => {
    assert.deepStrictEqual(waitsOf(defaultSettings, []), defaultSettings)
    const strange = [peer("a", { GC_GRACE: "soon", GC_QUARANTINE: "1 hour 2", GC_UPLOAD_GRACE: "" })]
    assert.deepStrictEqual(waitsOf(defaultSettings, strange), defaultSettings)
  })

  it("are the shortest of the collectors at work", () => {
    const told = [peer("a", { GC_GRACE: "1m 30s", GC_UPLOAD_GRACE: "3m" }), peer("b", { GC_GRACE: "10s" })]
    assert.deepStrictEqual(waitsOf(defaultSettings, told), {
      ...defaultSettings,
      grace: Duration.seconds(10),
      uploadGrace: Duration.minutes(3)
    })
  })
})
