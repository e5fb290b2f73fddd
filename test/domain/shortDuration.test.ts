/** Durations as people write them, and as the program prints them. */
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { shortDuration, spelledOut } from "../../src/domain/shortDuration.ts"

describe("a short duration", () => {
  for (const input of [
    "0 seconds",
    "10 seconds",
    "90 minutes",
    "36 hours",
    "1500 millis",
    "1234567 micros"
  ] as const) {
    it(`is read as it was printed: ${input}`, () => {
      const given = Duration.fromInputUnsafe(input)
      assert.deepStrictEqual(shortDuration(Duration.format(given)), given)
    })
  }

  it("is spelled out for effect, and every other text stays", () => {
    assert.deepStrictEqual(["1h", "1h30m", " 2w ", "5ms"].map(spelledOut), [
      "3600000 millis",
      "5400000 millis",
      "1209600000 millis",
      "5 millis"
    ])
    for (const text of ["", "0", "10", "1 hour", "1y", "1h 2", "-1h", "1.5h", "h", "1H"]) {
      assert.strictEqual(spelledOut(text), text)
    }
  })
})
