/**
 * Traces, metrics and logs by OTLP over HTTP, with OpenTelemetry's standard variables. Off unless an endpoint is set.
 *
 * Effect's own layers read the variables. Two defaults are OpenTelemetry's and not Effect's: with an endpoint all three
 * signals are sent, and the encoding is protobuf.
 */
import { ConfigProvider, Effect, Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp, OtlpSerialization } from "effect/observability"
import { ConfigInvalid } from "../config/Config.ts"

/** Variables, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

const signals = ["TRACES", "METRICS", "LOGS"] as const

const endpoints = [
  "OTEL_EXPORTER_OTLP_ENDPOINT",
  ...signals.map((name) => `OTEL_EXPORTER_OTLP_${name}_ENDPOINT`)
]

const isSet = (environment: Environment, name: string): boolean => (environment[name] ?? "") !== ""

/** Returns whether telemetry is sent. */
export const isOn = (environment: Environment): boolean =>
  endpoints.some((name) => isSet(environment, name)) &&
  environment.OTEL_SDK_DISABLED?.toLowerCase() !== "true"

const encodings = {
  "http/protobuf": OtlpSerialization.layerProtobuf,
  "http/json": OtlpSerialization.layerJson
}

const isEncoding = (name: string): name is keyof typeof encodings => Object.hasOwn(encodings, name)

/**
 * Sends traces, metrics and logs of all that runs with it, and the rest when its scope closes. Fails with `ConfigInvalid` if a
 * variable cannot be used. A receiver that does not answer delays nothing but the end of the process, by some seconds.
 */
export const layer = (environment: Environment, version: string): Layer.Layer<never, ConfigInvalid> =>
  Layer.unwrap(
    Effect.gen(function* () {
      if (!isOn(environment)) return Layer.empty
      const encoding = environment.OTEL_EXPORTER_OTLP_PROTOCOL || "http/protobuf"
      const problems = [
        ...endpoints.flatMap((name) =>
          isSet(environment, name) && !URL.canParse(environment[name] ?? "")
            ? [`${name}: is no URL; write for example http://localhost:4318`]
            : []
        ),
        ...(isEncoding(encoding)
          ? []
          : [
              "OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf or http/json; send gRPC to the receiver's port for HTTP, 4318"
            ])
      ]
      const [first, ...others] = problems
      if (first !== undefined) return yield* new ConfigInvalid({ problems: [first, ...others] })
      const sending = Otlp.layerFromConfig().pipe(
        Layer.provide([
          isEncoding(encoding) ? encodings[encoding] : OtlpSerialization.layerProtobuf,
          FetchHttpClient.layer
        ]),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(withDefaults(environment, version)))),
        Layer.catchCause((cause) =>
          Layer.effectDiscard(Effect.fail(new ConfigInvalid({ problems: [`OTEL_…: ${String(cause)}`] })))
        )
      )
      return sending as Layer.Layer<never, ConfigInvalid>
    })
  )

const withDefaults = (environment: Environment, version: string): Record<string, string> => {
  const given = Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      name.startsWith("OTEL_") && value !== undefined && value !== "" ? [[name, value]] : []
    )
  )
  const isNamed = /(^|,)\s*service\.name\s*=/.test(given.OTEL_RESOURCE_ATTRIBUTES ?? "")
  return {
    ...Object.fromEntries(signals.map((name) => [`OTEL_${name}_EXPORTER`, "otlp"])),
    ...(isNamed ? {} : { OTEL_SERVICE_NAME: "artifact-gc" }),
    OTEL_SERVICE_VERSION: version,
    ...given
  }
}
