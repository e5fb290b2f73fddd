/** The table of metrics in docs/metrics.md is what a running service shows. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { declared } from "../../src/ops/Declared.ts"
import { busy } from "../fixtures/ops/Busy.ts"
import { read, service } from "../fixtures/ops/Service.ts"
import { untilTrue } from "../fixtures/Until.ts"

const all = Object.values(declared).flat()

interface Family {
  readonly type: string
  readonly help: string
  readonly labels: ReadonlyArray<string>
  /** Label values as `label=value`. */
  readonly values: ReadonlySet<string>
}

/** Reads Prometheus' text format. */
const familiesIn = (text: string): ReadonlyMap<string, Family> => {
  const families = new Map<string, Family & { values: Set<string>; labels: Array<string> }>()
  let help = ""
  let name = ""
  for (const row of text.split("\n")) {
    const [, kind, of = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(row) ?? []
    if (kind === "HELP") help = rest
    if (kind === "TYPE") {
      name = of
      families.set(of, { type: rest, help, labels: [], values: new Set() })
    }
    const [, , labels = ""] = /^(\w+?)(?:\{(.*)\})? \S+$/.exec(row) ?? []
    const family = families.get(name)
    for (const [, label = "", value = ""] of labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      if (label === "le" || family === undefined) continue
      if (!family.labels.includes(label)) family.labels.push(label)
      family.values.add(`${label}=${value}`)
    }
  }
  return families
}

/** Rows of the table: name, type, unit, names of labels, meaning. */
const rowsOf = (document: string) =>
  [
    ...document.matchAll(/^\| `((?:artifact_gc|process)_\w+)` \| (\w+) \| (\w*) \| (.*?) \| (.*?) \| .*\|$/gm)
  ].map(([, name = "", type = "", unit = "", labels = "", help = ""]) => ({
    name,
    type,
    unit,
    labels: [...labels.matchAll(/(?:^|<br>)`(\w+)`:/g)].map(([, label = ""]) => label),
    help
  }))

const document = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8")

describe("the table of metrics", () => {
  it.live("is what a running service shows: each name, type, meaning and label, and no other", () =>
    Effect.gen(function* () {
      yield* busy
      yield* untilTrue(
        "the last request is counted",
        Effect.map(read("/metrics"), ({ text }) => /^artifact_gc_registry_requests_in_flight 0$/m.test(text))
      )
      const families = familiesIn((yield* read("/metrics")).text)
      const shown = [...families].map(([name, { help, labels, type }]) => ({ name, type, help, labels }))
      const byName = <A extends { readonly name: string }>(rows: ReadonlyArray<A>) =>
        rows.toSorted((a, b) => (a.name < b.name ? -1 : 1))
      assert.deepStrictEqual(byName(shown), byName(rowsOf(document).map(({ unit: _, ...row }) => row)))
    }).pipe(Effect.provide(service), (test) =>
      Effect.suspend(() => Effect.provideService(test, Metric.MetricRegistry, new Map()))
    )
  )

  it.live(
    "names all values of the labels that it lists, and no label is a digest, a key or a repository",
    () =>
      Effect.gen(function* () {
        yield* busy
        const families = familiesIn((yield* read("/metrics")).text)
        for (const { labels, name } of all) {
          for (const [label, values] of Object.entries(labels)) {
            if (typeof values === "string") continue
            for (const pair of families.get(name)?.values ?? []) {
              if (!pair.startsWith(`${label}=`)) continue
              assert.include(values, pair.slice(label.length + 1), `${name} ${label}`)
            }
          }
          for (const pair of families.get(name)?.values ?? []) {
            assert.notMatch(pair, /sha256|[0-9a-f]{16}|blobs\/dead|=a$/, name)
          }
        }
      }).pipe(Effect.provide(service), (test) =>
        Effect.suspend(() => Effect.provideService(test, Metric.MetricRegistry, new Map()))
      )
  )
})

describe("the name of a metric", () => {
  it("has the prefix, its unit and the ending of its type, and is declared once", () => {
    for (const { help, look, name, type, unit } of all) {
      assert.match(name, /^(artifact_gc|process)(_[a-z]+)+$/)
      const stem = type === "counter" ? name.replace(/_total$/, "") : name
      assert.strictEqual(type === "counter", name.endsWith("_total"), name)
      if (unit !== null) assert.isTrue(stem.endsWith(`_${unit}`), name)
      assert.match(help, /^[A-Z0-9].*\.$/, name)
      assert.match(look, /[.]$/, name)
    }
    assert.strictEqual(new Set(all.map(({ name }) => name)).size, all.length)
  })
})
