/** Times of cron expressions in the nights in which clocks are changed. */
import { assert, describe, it } from "@effect/vitest"
import { Cron, DateTime, Duration, Result } from "effect"
import { cronOf, longestWait } from "../../src/sweep/When.ts"

/** The days on which clocks are changed in 2026, and the instants of the change. */
const changes = {
  "Europe/Berlin": { spring: "2026-03-29T01:00:00Z", autumn: "2026-10-25T01:00:00Z", winterHours: 1 },
  "America/New_York": { spring: "2026-03-08T07:00:00Z", autumn: "2026-11-01T06:00:00Z", winterHours: -5 }
} as const

type Zone = keyof typeof changes

const hour = Duration.toMillis("1 hour")

const cron = (expression: string, zone: string) =>
  Result.getOrThrow(cronOf(expression, DateTime.zoneMakeNamedUnsafe(zone)))

/** The times in the `hours` before and after a change. */
const timesAround = (expression: string, zone: Zone, season: "spring" | "autumn", hours: number) => {
  const at = Date.parse(changes[zone][season])
  const found: Array<number> = []
  let next = Cron.next(cron(expression, zone), new Date(at - hours * hour - 1))
  while (next.getTime() < at + hours * hour) {
    found.push((next.getTime() - at) / hour)
    next = Cron.next(cron(expression, zone), next)
  }
  return found
}

const hourly = [-4, -3, -2, -1, 0, 1, 2, 3]

describe.each(Object.keys(changes) as ReadonlyArray<Zone>)("in %s, where clocks are changed,", (zone) => {
  it.each(["0 * * * *", "0 0-23 * * *", "0 0 * * * *"])("%s is due every hour that passes", (expression) => {
    assert.deepStrictEqual(timesAround(expression, zone, "spring", 4), hourly)
    assert.deepStrictEqual(timesAround(expression, zone, "autumn", 4), hourly)
  })

  it("every 20 minutes is due three times in each hour that passes", () => {
    for (const season of ["spring", "autumn"] as const) {
      const times = timesAround("*/20 * * * *", zone, season, 3)
      assert.lengthOf(times, 18)
      for (const [i, at] of times.entries()) assert.closeTo(at, -3 + i / 3, 1e-9)
    }
  })

  // By the wall: Berlin skips 02:00 to 03:00, and New York does too. Berlin repeats 02:00, New York 01:00.
  it("02:30 daily is due once a day, in spring an hour later by the wall", () => {
    const daily = (season: "spring" | "autumn") =>
      timesAround("30 2 * * *", zone, season, 36).map(
        (at) => new Date(Date.parse(changes[zone][season]) + at * hour)
      )
    for (const season of ["spring", "autumn"] as const) assert.lengthOf(daily(season), 3)
    const gap = daily("spring")[1]?.getTime() ?? 0
    assert.strictEqual((gap - Date.parse(changes[zone].spring)) / hour, 0.5)
  })

  it("a time that is repeated is due once: the first time", () => {
    const repeated = zone === "Europe/Berlin" ? "30 2 * * *" : "30 1 * * *"
    assert.deepStrictEqual(
      timesAround(repeated, zone, "autumn", 6),
      [-0.5],
      "and not half an hour after the change again"
    )
  })

  it("hours of a list follow the wall, so that none runs twice", () => {
    const times = timesAround("0 1-4 * * *", zone, "autumn", 12)
    assert.lengthOf(times, 4)
  })
})

describe("effect's own Cron", () => {
  it("lets an hourly schedule pause for two hours in autumn, which is why it is asked for both hours", () => {
    const plain = Cron.parseUnsafe("0 * * * *", "Europe/Berlin")
    const first = Cron.next(plain, "2026-10-25T00:00:00Z")
    assert.strictEqual(Cron.next(plain, "2026-10-24T23:30:00Z").toISOString(), "2026-10-25T00:00:00.000Z")
    assert.strictEqual(first.toISOString(), "2026-10-25T02:00:00.000Z")
  })

  it("is taken as a host made it", () => {
    const own = Cron.parseUnsafe("0 * * * *", "Europe/Berlin")
    assert.strictEqual(Result.getOrThrow(cronOf(own, undefined)), own)
  })
})

describe("the longest wait of a schedule", () => {
  const wait = (expression: string, zone: string) =>
    Duration.toHours(longestWait({ _tag: "cron", cron: cron(expression, zone) }, Duration.zero, undefined))

  it("includes the hour by which a night is longer in which clocks are set back", () => {
    assert.strictEqual(wait("30 2 * * *", "UTC"), 24)
    assert.strictEqual(wait("30 2 * * *", "Europe/Berlin"), 25)
    assert.strictEqual(wait("0 2 * * 1", "UTC"), 7 * 24)
  })
})
