/**
 * Every metric of the collector and of `BlobStore`, by name: Effect `Metric`s that any exporter of the host shows. Tests read
 * one with `Metric.value(Metrics.sweeps.of({ outcome: "complete" }))`. docs/metrics.md is made from these declarations.
 */

export { putBytes, putDuration, puts } from "./blobs/Metrics.ts"
export type {
  DeclaredCounter,
  DeclaredGauge,
  DeclaredHistogram,
  DeclaredMetric,
  Labels,
  LabelsOf,
  LabelValues
} from "./domain/DeclaredMetric.ts"
export * from "./sweep/Metrics.ts"
