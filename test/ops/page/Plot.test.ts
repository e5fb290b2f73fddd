/** Scales and plots. */
import { assert, describe, it } from "vitest"
import { barMillis, labelOf, perBar, timeTicks, valueTicks } from "../../../src/ops/page/Axis.ts"
import { type PlotOptions, plot } from "../../../src/ops/page/Plot.ts"
import { barsOf, pointOf } from "../../../src/ops/page/Trend.ts"
import { busy, now, trend } from "../../fixtures/ops/Pages.ts"

const hour = 3_600_000
const day = 24 * hour

const labels = (...of: Parameters<typeof valueTicks>) => valueTicks(...of).map(({ label }) => label)

describe("axes", () => {
  it("end at a round value above the largest, in the units of people", () => {
    assert.deepStrictEqual(labels("bytes", 7.3e9), ["0", "2 GB", "4 GB", "6 GB", "8 GB"])
    assert.deepStrictEqual(labels("bytes", 1e6), ["0", "500 KB", "1 MB"])
    assert.deepStrictEqual(labels("count", 3), ["0", "1", "2", "3"])
    assert.deepStrictEqual(labels("count", 181_000), ["0", "50 k", "100 k", "150 k", "200 k"])
    assert.deepStrictEqual(labels("duration", 58_000), ["0", "20 s", "40 s", "1 min"])
    assert.deepStrictEqual(labels("duration", 5 * hour), ["0", "2 h", "4 h", "6 h"])
  })

  it("have at most six ticks, two at least, and cover the value, whatever it is", () => {
    for (const measure of ["bytes", "count", "duration"] as const) {
      for (let value = 0.001; value < 1e18; value *= 3.7) {
        const ticks = valueTicks(measure, value)
        assert.isAtLeast(ticks.at(-1)?.at ?? 0, value * 0.999)
        assert.isTrue(ticks.length >= 2 && ticks.length <= 6, `${measure} ${value}: ${ticks.length}`)
        assert.strictEqual(new Set(ticks.map(({ label }) => label)).size, ticks.length, `${measure} ${value}`)
      }
      for (const odd of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
        assert.isAtLeast(valueTicks(measure, odd).length, 2)
    }
  })

  it("of time have ticks at even times of the day", () => {
    const from = Date.parse("2026-11-29T22:10:00Z")
    assert.deepStrictEqual(
      timeTicks(from, from + 5 * hour).map(({ label }) => label),
      ["23:00", "30 Nov", "01:00", "02:00", "03:00"]
    )
    for (let span = hour; span < 3000 * day; span *= 1.9)
      assert.isAtMost(timeTicks(from, from + span).length, 6)
    assert.strictEqual(perBar(barMillis(31 * day)), "per day")
    assert.strictEqual(perBar(barMillis(4 * day)), "per 3 hours")
    assert.strictEqual(labelOf("duration", 0), "0")
  })
})

describe("bars", () => {
  it("add up every sweep once, and have no gaps", () => {
    const points = trend(100)
    const { bars, from, to, width } = barsOf(points, now)
    assert.strictEqual(bars.length * width, to - from)
    assert.isAtMost(bars.length, 49)
    const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)
    assert.strictEqual(sum(bars.map(({ sweeps }) => sweeps)), 100)
    assert.strictEqual(sum(bars.map(({ deleted }) => deleted)), sum(points.map(({ deleted }) => deleted)))
    assert.strictEqual(bars.findLast(({ left }) => left !== null)?.left, points.at(-1)?.left)
  })

  it("leave out dry runs, reports that cannot be read, and the future", () => {
    const last = busy.status.last ?? assert.fail("no sweep")
    assert.isNull(pointOf({ ...last, report: null }))
    assert.isNull(pointOf({ ...last, report: { ...(last.report ?? assert.fail()), dryRun: true } }))
    const [point] = trend(1)
    assert.isDefined(point)
    assert.strictEqual(
      barsOf([{ ...point, endedAt: now + day }], now).bars.filter(({ sweeps }) => sweeps > 0).length,
      0
    )
  })
})

describe("a plot", () => {
  const options: PlotOptions = {
    id: "one",
    title: `<b>"`,
    unit: "per hour",
    summary: "</desc><script>",
    measure: "count",
    kind: "bars",
    from: now - 3 * hour,
    to: now,
    series: [{ name: "deleted", values: [3, 0, 6] }],
    marked: [false, true, false]
  }

  it("is an image with a name and a text, and escapes both", () => {
    const svg = String(plot(options))
    assert.match(svg, /<svg class="plot" role="img" aria-labelledby="one-title one-text"/)
    assert.include(svg, `<title id="one-title">&lt;b&gt;&quot;, per hour</title>`)
    assert.include(svg, `<desc id="one-text">&lt;/desc&gt;&lt;script&gt;</desc>`)
  })

  it("draws bars in proportion, and marks failures that deleted nothing", () => {
    const heights = [...String(plot(options)).matchAll(/class="(bar[^"]*)"[^>]*height="([\d.]+)"/g)].map(
      ([, name, height]) => [name, Number(height)]
    )
    assert.deepStrictEqual(heights, [
      ["bar", 65],
      ["bar failed", 3],
      ["bar", 130]
    ])
  })

  it("draws lines over gaps, and no number that is none", () => {
    const svg = String(
      plot({
        ...options,
        kind: "lines",
        series: [
          { name: "a", values: [1, null, 3] },
          { name: "b", values: [null, null, null] }
        ]
      })
    )
    assert.match(svg, /class="line s0" points="16\.67,[\d.]+ 83\.33,10"/)
    assert.match(svg, /class="line s1" points=""/)
    for (const odd of [[], [null], [0], [Number.MAX_VALUE, 0]]) {
      assert.notMatch(
        String(plot({ ...options, series: [{ name: "a", values: odd }] })),
        /NaN|Infinity|undefined/
      )
      assert.notMatch(
        String(plot({ ...options, kind: "lines", series: [{ name: "a", values: odd }] })),
        /NaN|Infinity|undefined/
      )
    }
  })
})
