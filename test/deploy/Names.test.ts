/** The dashboard and the alerts name metrics and labels that exist, and each alert has a page of what to do. */
import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { declared } from "../../src/ops/Declared.ts"

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

const byName = new Map(Object.values(declared).flatMap((all) => all.map((metric) => [metric.name, metric])))

/** The declared metric of a series: a histogram has three series of other names. */
const metricOf = (series: string) =>
  byName.get(series) ?? byName.get(series.replace(/_(bucket|sum|count)$/, ""))

const alerts = read("deploy/prometheus/alerts.yml")
const dashboard = read("deploy/grafana/dashboard.json")

/** Names that Prometheus itself makes, and those of groups and sources. */
const others = new Set(["artifact_gc"])

const unknownIn = (text: string): ReadonlyArray<string> =>
  [...new Set(text.match(/\b(artifact_gc|process)_\w+/g))].filter(
    (name) => !others.has(name) && metricOf(name) === undefined
  )

const namesOf = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/alert: (\w+)/g)].map(([, name = ""]) => name)

describe("the dashboard and the alerts", () => {
  it("name only metrics that the program declares", () => {
    assert.deepStrictEqual(unknownIn(alerts), [])
    assert.deepStrictEqual(unknownIn(dashboard), [])
    assert.deepStrictEqual(unknownIn("rate(artifact_gc_nonsense_total[5m])"), ["artifact_gc_nonsense_total"])
  })

  it("show every metric of the program, except those listed here", () => {
    const notShown = [
      // Of hosts that embed the library: the program's own writers are the registry's clients.
      ...["artifact_gc_put_bytes_total", "artifact_gc_put_duration_seconds", "artifact_gc_puts_total"],
      "artifact_gc_reloads_total"
    ]
    const missing = [...byName.keys()].filter((name) => !`${alerts}${dashboard}`.includes(name))
    assert.deepStrictEqual(missing.sort(), notShown.sort())
  })

  it("ask for label names that the metric has", () => {
    const made = new Set(["job", "instance", "le"])
    const wrong = [
      ...`${alerts}\n${dashboard.replaceAll('\\"', '"')}`.matchAll(/\b(artifact_gc_\w+)\{([^}]*)\}?/g)
    ]
      .flatMap(([, name = "", labels = ""]) =>
        [...labels.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, label = ""]) => [name, label] as const)
      )
      .filter(([name, label]) => !made.has(label) && !labelsOf(name).includes(label))
    assert.deepStrictEqual(wrong, [])
  })
})

const labelsOf = (series: string): ReadonlyArray<string> => {
  const row = read("docs/metrics.md")
    .split("\n")
    .find((line) => line.startsWith(`| \`${metricOf(series)?.name}\` |`))
  return [...(row ?? "").matchAll(/(?:\| |<br>)`(\w+)`:/g)].map(([, label = ""]) => label)
}

describe("the unit tests of the alerts", () => {
  it("show on the day on which all is well every metric that an alert asks for", () => {
    const [, healthy = ""] = read("deploy/prometheus/alerts.test.yml").split(
      "name: a day on which all is well"
    )
    const asked = new Set(alerts.match(/\b(artifact_gc|process)_\w+/g))
    assert.isAbove(asked.size, 10)
    assert.deepStrictEqual(
      [...asked].filter((name) => !healthy.includes(`'${name}{`)),
      []
    )
  })
})

describe("runbooks", () => {
  it("exist for each alert, and for nothing else", () => {
    const pages = readdirSync(new URL("../../docs/runbooks", import.meta.url))
    const expected = namesOf(alerts).map((name) => `${name}.md`)
    assert.isAbove(expected.length, 10)
    assert.deepStrictEqual(pages.filter((name) => name !== "README.md").sort(), expected.sort())
  })

  it("are named by their alert, and the unit tests have each alert", () => {
    const tests = read("deploy/prometheus/alerts.test.yml")
    for (const name of namesOf(alerts)) {
      assert.include(alerts, `runbook_url: docs/runbooks/${name}.md`)
      assert.match(
        tests,
        new RegExp(`alertname: ${name}\\n +exp_alerts:\\n`),
        `no test in which ${name} fires`
      )
    }
  })
})
