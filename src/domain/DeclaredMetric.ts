/**
 * Declares metrics: Effect `Metric`s with all that an operator reads about them. Exporters show the metrics, and
 * docs/metrics.md is made from the declarations.
 *
 * Names follow Prometheus: the prefix `artifact_gc_`, base units, `_total` for counters. The values of a label are few and
 * known beforehand. No label is a digest, a key or a repository.
 */
import { Clock, Context, Metric } from "effect"

/** The values of a label: all of them, or in words what they are. */
export type LabelValues = ReadonlyArray<string> | string

/** The labels of a metric by name, each with its values. */
export type Labels = Readonly<Record<string, LabelValues>>

/** One value for each label. */
export type LabelsOf<L extends Labels> = {
  readonly [Name in keyof L]: L[Name] extends ReadonlyArray<infer Value> ? Value : string
}

/** What a metric means. */
export interface Description<L extends Labels> {
  /** The name, as exporters show it. */
  readonly name: string
  /** The unit that the name ends with. Default: none, because it counts things. */
  readonly unit?: "seconds" | "bytes"
  /** Default: none. */
  readonly labels?: L
  /** What it measures: a sentence, which exporters show. */
  readonly help: string
  /** When an operator looks at it, and what then: sentences. */
  readonly look: string
}

/** A metric with its meaning, for lists of metrics. */
export interface Declaration extends Readonly<Required<Omit<Description<Labels>, "unit">>> {
  /** The kind of number. */
  readonly type: "counter" | "gauge" | "histogram"
  /** Null where it counts things. */
  readonly unit: "seconds" | "bytes" | null
  /** Returns the series with these label values. */
  readonly series: (labels: Readonly<Record<string, string>>) => Metric.Metric<number, unknown>
}

/** A metric with its meaning, whose labels are typed. */
export interface DeclaredMetric<L extends Labels = Labels, State = unknown> extends Declaration {
  /** The labels by name, each with its values. Empty without any. */
  readonly labels: L
  /** Returns the series with these label values. */
  readonly of: (...labels: keyof L extends never ? [] : [labels: LabelsOf<L>]) => Metric.Metric<number, State>
}

/** A number that only grows while the process runs. */
export type DeclaredCounter<L extends Labels> = DeclaredMetric<L, Metric.CounterState<number>>

/** A number as it is now. */
export type DeclaredGauge<L extends Labels> = DeclaredMetric<L, Metric.GaugeState<number>>

/** How often a measured number was at most so much. */
export type DeclaredHistogram<L extends Labels> = DeclaredMetric<L, Metric.HistogramState>

interface SeriesOptions {
  readonly description: string
  readonly attributes: Record<string, string>
}

const declare = <L extends Labels, State>(
  type: DeclaredMetric["type"],
  { help, labels, look, name, unit }: Description<L>,
  make: (options: SeriesOptions) => Metric.Metric<number, State>
): DeclaredMetric<L, State> => {
  // A series keeps the key under which it is registered, so it is made once.
  const series = new Map<string, Metric.Metric<number, State>>()
  // The name of the attribute is Effect's: exporters make it the unit, and Prometheus does not see it.
  const ofUnit: Record<string, string> = unit === undefined ? {} : { unit }
  const names = Object.keys(labels ?? {})
  const seriesOf = (given: Readonly<Record<string, string>>) => {
    let key = ""
    for (const label of names) key += `${given[label] ?? ""}\n`
    const known = series.get(key)
    if (known !== undefined) return known
    const ofLabels = Object.fromEntries(names.map((label) => [label, given[label] ?? ""]))
    const made = make({ description: help, attributes: { ...ofLabels, ...ofUnit } })
    series.set(key, made)
    return made
  }
  return {
    type,
    name,
    help,
    look,
    labels: labels ?? ({} as L),
    unit: unit ?? null,
    series: seriesOf,
    of: (...[given]) => seriesOf((given ?? {}) as Record<string, string>)
  }
}

/** Declares a counter. Its name ends with `_total`. */
export const counter = <const L extends Labels = Record<never, never>>(
  description: Description<L>
): DeclaredCounter<L> =>
  declare("counter", description, (options) =>
    Metric.counter(description.name, { ...options, incremental: true })
  )

/** Declares a gauge. */
export const gauge = <const L extends Labels = Record<never, never>>(
  description: Description<L>
): DeclaredGauge<L> => declare("gauge", description, (options) => Metric.gauge(description.name, options))

/** Declares a histogram with these upper bounds of its buckets. */
export const histogram = <const L extends Labels = Record<never, never>>(
  description: Description<L> & { readonly boundaries: ReadonlyArray<number> }
): DeclaredHistogram<L> =>
  declare("histogram", description, (options) =>
    Metric.histogram(description.name, { ...options, boundaries: description.boundaries })
  )

/**
 * Makes a gauge show the seconds since `instant` whenever an exporter reads it, so that it grows without updates. Shows 0
 * before the instant, and for null.
 */
export const showSince = (
  series: Metric.Metric<number, Metric.GaugeState<number>>,
  instant: number | null,
  context: Context.Context<never>
): { readonly remove: () => void } =>
  showRead(series, context, (reader) =>
    instant === null
      ? 0
      : Math.max(0, Context.get(reader, Clock.Clock).currentTimeMillisUnsafe() - instant) / 1000
  )

/** Makes a gauge show what `read` returns at the moment at which an exporter reads it. Returns what ends it. */
export const showRead = (
  series: Metric.Metric<number, Metric.GaugeState<number>>,
  context: Context.Context<never>,
  read: (reader: Context.Context<never>) => number
): { readonly remove: () => void } => {
  const ignored = () => {}
  return Metric.registerUnsafe(series, context, {
    get: (reader) => ({ value: read(reader) }),
    update: ignored,
    modify: ignored
  })
}

/** More series than these are not shown before they count something. */
const zeroMax = 200

/**
 * Shows counters and histograms at 0 before they count anything, so that their first increment is seen as one. `known` has the
 * values of labels that a declaration only describes. Leaves out metrics with other labels, and gauges, which are not known
 * yet.
 */
export const showZeros = (
  declarations: ReadonlyArray<Declaration>,
  known: Readonly<Record<string, ReadonlyArray<string>>>,
  context: Context.Context<never>
): void => {
  for (const { labels, series, type } of declarations) {
    if (type === "gauge") continue
    const combinations = Object.entries(labels).reduce<ReadonlyArray<Record<string, string>>>(
      (all, [label, values]) => {
        const each = typeof values === "string" ? (known[label] ?? []) : values
        return all.flatMap((labels) => each.map((value) => ({ ...labels, [label]: value })))
      },
      [{}]
    )
    if (combinations.length > zeroMax) continue
    for (const labels of combinations) series(labels).valueUnsafe(context)
  }
}
