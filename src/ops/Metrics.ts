/** The metrics of the process. They are read when an exporter asks, and cost nothing between. */
import { createRequire } from "node:module"
import { Clock, Context, Effect, Metric, type Scope } from "effect"
import { counter, gauge, showRead } from "../domain/DeclaredMetric.ts"

/** What runs. */
export const buildInfo = gauge({
  name: "artifact_gc_build_info",
  labels: {
    version: "the version of artifact-gc",
    node: "the version of Node",
    effect: "the version of Effect"
  },
  help: "Always 1. The labels say what runs.",
  look: "Shows which replicas run which version during an upgrade."
})

/** The CPU time of the process. The name is Prometheus' own for every program. */
export const cpu = counter({
  name: "process_cpu_seconds_total",
  unit: "seconds",
  help: "User and system CPU time of the process.",
  look: "About 1 for each second: one core is busy, and requests wait for each other."
})

/** The memory of the process. */
export const memory = gauge({
  name: "process_resident_memory_bytes",
  unit: "bytes",
  help: "Resident memory of the process.",
  look: "A rise over days is a leak. A rise with artifact_gc_registry_bodies is the memory of bodies."
})

/** When the process began. */
export const startedAt = gauge({
  name: "process_start_time_seconds",
  unit: "seconds",
  help: "When the process started, as Unix time.",
  look: "Changes often: the process is restarted, see why in its last log lines."
})

/** Files that were loaded again. */
export const reloads = counter({
  name: "artifact_gc_reloads_total",
  labels: {
    of: ["database", "store", "registry", "operators"],
    result: ["changed", "refused"]
  },
  help: "Changes of certificates, keys and files of secrets that the process noticed.",
  look: "`refused` grows: a new file cannot be used, and the old content stays in force. The log names the file and the problem."
})

/** When a certificate of the process ends. */
export const certificateExpiry = gauge({
  name: "artifact_gc_certificate_expiry_timestamp_seconds",
  unit: "seconds",
  labels: { of: ["database", "registry", "operators"] },
  help: "When the certificate that this process presents ends, as Unix time.",
  look: "Less than a week away: the renewal does not work, or does not reach this process. Absent without a certificate."
})

const effectVersion = (): string => {
  const found: unknown = createRequire(import.meta.url)("effect/package.json")
  return typeof found === "object" && found !== null && "version" in found ? String(found.version) : "unknown"
}

const cpuSeconds = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e6
}

/** Shows the metrics of the process to exporters until the scope is closed. */
export const show = (version: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<Scope.Scope>) => {
    const begunAt = Context.get(context, Clock.Clock).currentTimeMillisUnsafe() / 1000 - process.uptime()
    const info = { version, node: process.versions.node, effect: effectVersion() }
    const ignored = () => {}
    const shown = [
      showRead(buildInfo.of(info), context, () => 1),
      showRead(memory.of(), context, () => process.memoryUsage.rss()),
      showRead(startedAt.of(), context, () => begunAt),
      Metric.registerUnsafe(cpu.of(), context, {
        get: () => ({ count: cpuSeconds(), incremental: true }),
        update: ignored,
        modify: ignored
      })
    ]
    return Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const { remove } of shown) remove()
      })
    )
  })
