/**
 * JSON schemas of Kubernetes' objects for kubeconform, from the OpenAPI documents that its Go modules hold. Objects with
 * unknown fields are refused, as `kubectl apply --validate=strict` refuses them.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { moduleFolder } from "./Tools.ts"

type Json = { [key: string]: unknown }

interface Source {
  readonly module: string
  readonly file: string
  /** Name of the definition, and `group-version` as kubeconform names it in a file. */
  readonly kinds: Readonly<Record<string, string>>
}

const clientGo = "k8s.io/client-go@v0.37.0"
const kubectl = "k8s.io/kubectl@v0.37.0"
const openapi = "openapi/openapitest/testdata"

const sources: ReadonlyArray<Source> = [
  {
    module: clientGo,
    file: `${openapi}/api__v1_openapi.json`,
    kinds: {
      "io.k8s.api.core.v1.Service": "service-v1",
      "io.k8s.api.core.v1.ServiceAccount": "serviceaccount-v1",
      "io.k8s.api.core.v1.ConfigMap": "configmap-v1"
    }
  },
  {
    module: clientGo,
    file: `${openapi}/apis__apps__v1_openapi.json`,
    kinds: { "io.k8s.api.apps.v1.Deployment": "deployment-apps-v1" }
  },
  {
    module: clientGo,
    file: `${openapi}/apis__batch__v1_openapi.json`,
    kinds: { "io.k8s.api.batch.v1.Job": "job-batch-v1", "io.k8s.api.batch.v1.CronJob": "cronjob-batch-v1" }
  },
  {
    module: kubectl,
    file: "testdata/openapi/v3/apis/autoscaling/v2.json",
    kinds: { "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler": "horizontalpodautoscaler-autoscaling-v2" }
  },
  {
    module: kubectl,
    file: "testdata/openapi/swagger.json",
    kinds: {
      "io.k8s.api.networking.v1.NetworkPolicy": "networkpolicy-networking-v1",
      "io.k8s.api.networking.v1.Ingress": "ingress-networking-v1",
      // The fields of version 1 are those of its beta.
      "io.k8s.api.policy.v1beta1.PodDisruptionBudget": "poddisruptionbudget-policy-v1"
    }
  }
]

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Makes a definition refuse unknown fields, and lets references find the definitions of this file. */
const strict = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(strict)
  if (!isObject(value)) return value
  const made = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, strict(inner)]))
  if (typeof made.$ref === "string") return { $ref: made.$ref.replace(/^.*\//, "#/definitions/") }
  if (made.format === "int-or-string") return { type: ["integer", "string"] }
  // kubeconform knows these formats by other rules.
  delete made.format
  return isObject(made.properties) && made.additionalProperties === undefined
    ? { ...made, additionalProperties: false }
    : made
}

/** Writes the schemas into a folder, and returns the location of them for kubeconform. */
export const writeSchemas = (folder: string): string => {
  mkdirSync(folder, { recursive: true })
  for (const { module, file, kinds } of sources) {
    const document = JSON.parse(readFileSync(join(moduleFolder(module), file), "utf8")) as Json
    const components = document.components as { readonly schemas: Json } | undefined
    const definitions = strict(components?.schemas ?? document.definitions) as Json
    for (const [definition, name] of Object.entries(kinds)) {
      if (!isObject(definitions[definition])) throw new Error(`${module}: has no ${definition}`)
      const schema = { $ref: `#/definitions/${definition}`, definitions }
      writeFileSync(join(folder, `${name}.json`), JSON.stringify(schema))
    }
  }
  return join(folder, "{{.ResourceKind}}{{.KindSuffix}}.json")
}
