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

/** A metric with its meaning. */
export interface DeclaredMetric<L extends Labels = Labels, State = unknown>
  extends Readonly<Required<Omit<Description<L>, "unit">>> {
  /** The kind of number. */
  readonly type: "counter" | "gauge" | "histogram"
  /** Null where it counts things. */
  readonly unit: "seconds" | "bytes" | null
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
  return {
    type,
    name,
    help,
    look,
    labels: labels ?? ({} as L),
    unit: unit ?? null,
    of: (...[given]) => {
      const values = names.map((label) => (given as Record<string, string> | undefined)?.[label] ?? "")
      const key = values.join("\n")
      const known = series.get(key)
      if (known !== undefined) return known
      const ofLabels = Object.fromEntries(names.map((label, index) => [label, values[index] ?? ""]))
      const made = make({ description: help, attributes: { ...ofLabels, ...ofUnit } })
      series.set(key, made)
      return made
    }
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
