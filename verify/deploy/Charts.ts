/** The Helm chart: helm lints and renders it, kubeconform checks each object. */
import assert from "node:assert/strict"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileAt } from "../../tools/Repository.ts"
import { capture } from "../../tools/servers/Processes.ts"
import type { Check, Suite } from "../acceptance/clients/Report.ts"
import { writeSchemas } from "./KubernetesSchemas.ts"
import { checked, deployed, helm, kubeconform } from "./Tools.ts"

const chart = deployed("helm", "artifact-gc")

/** The oldest that the chart allows, and the newest whose schemas are checked. */
const kubernetes = ["1.25.0", "1.37.0"]

const required = ["database.secretName=db", "s3.bucket=blobs"]

/** Values that switch templates on and off, by what they are for. */
const variants: Readonly<Record<string, ReadonlyArray<string>>> = {
  "the defaults": [],
  "every part": [
    ...["serve.autoscaling.enabled=true", "serve.ingress.enabled=true", "serve.ingress.tlsSecretName=tls"],
    ...["serviceMonitor.enabled=true", "prometheusRule.enabled=true", "dashboard.enabled=true"],
    ...["s3.secretName=s3", "s3.endpoint=http://store:9000", "registry.secretName=users"],
    ...["registry.names=registry.lan", "settings.GC_GRACE=2 hours", "imagePullSecrets[0].name=pull"],
    ...["networkPolicy.clients[0].podSelector.matchLabels.app=ci", "serve.nodeSelector.disk=fast"]
  ],
  "secrets as files": [
    ...["secretsAsFiles=true", "s3.secretName=s3", "registry.secretName=users", "serve.tls.secretName=crt"],
    ...["extraVolumes[0].name=rules", "extraVolumes[0].configMap.name=rules"],
    ...["extraVolumeMounts[0].name=rules", "extraVolumeMounts[0].mountPath=/etc/artifact-gc"]
  ],
  "a CronJob": ["collect.kind=cronjob", "collect.nodeSelector.disk=slow"],
  "the least": [
    ...["collect.kind=none", "serve.collect=true", "migrate.enabled=false", "networkPolicy.enabled=false"],
    ...["serve.podDisruptionBudget.enabled=false", "serviceAccount.create=false"]
  ]
}

const set = (values: ReadonlyArray<string>) => values.flatMap((value) => ["--set", value])

/** A pod of the restricted Pod Security Standard, which needs no file system and no rights. */
const hardened = [
  ...["runAsNonRoot: true", "readOnlyRootFilesystem: true", "allowPrivilegeEscalation: false"],
  ...["type: RuntimeDefault", "automountServiceAccountToken: false", "- ALL"]
]

/** Renders the chart, without helm's remarks about the links to deploy/. */
type Render = (values: ReadonlyArray<string>, version?: string) => Promise<string>

const rendering =
  (cache: string): Render =>
  async (values, version = kubernetes[1] ?? "") => {
    const out = await checked(helm.binary(cache), [
      ...["template", "release", chart, "--namespace", "registry", "--kube-version", version],
      ...set([...required, ...values])
    ])
    return out.replace(/^walk\.go.*$/gm, "")
  }

/** What the rendered objects say. */
const contentChecks = (render: Render): ReadonlyArray<Check> => [
  {
    name: "every pod is hardened, and every secret is referred to",
    run: async () => {
      for (const values of [variants["every part"] ?? [], variants["a CronJob"] ?? []]) {
        const pods = (await render(values)).split(/^---$/m).filter((text) => /^ +containers:/m.test(text))
        assert.ok(pods.length >= 3)
        for (const pod of pods) {
          for (const line of hardened) assert.ok(pod.includes(line), `${line}\n${pod.slice(0, 400)}`)
          const secret = /name: (DATABASE_URL|\w+_PASSWORD|S3_\w*KEY\w*)\n(.*)\n/g
          const named = [...pod.matchAll(secret)]
          assert.ok(named.length >= 1)
          for (const [text, , next] of named) assert.match(next ?? "", /valueFrom:/, text)
        }
      }
    }
  },
  {
    name: "every secret that is a file is mounted, and no variable has it",
    run: async () => {
      const pods = (await render(variants["secrets as files"] ?? []))
        .split(/^---$/m)
        .filter((text) => /^ +containers:/m.test(text))
      assert.ok(pods.length >= 3)
      for (const pod of pods) {
        assert.doesNotMatch(
          pod,
          /name: (DATABASE_URL|REGISTRY_PASSWORD|S3_ACCESS_KEY_ID|S3_SECRET_ACCESS_KEY)\n/
        )
        const files = [...pod.matchAll(/(?:name: \w+_FILE\n +value: |_(?:CERT|KEY), value: )(\S+)\/[\w.]+/g)]
        assert.ok(files.length >= 3)
        for (const [, folder = ""] of files) {
          const [, volume = ""] =
            new RegExp(`name: (\\w+), mountPath: ${folder}, readOnly: true`).exec(pod) ?? []
          assert.match(pod, new RegExp(`- name: ${volume}\n +secret: `), folder)
        }
      }
    }
  },
  {
    name: "the ServiceMonitor selects the service of metrics alone",
    run: async () => {
      const documents = (await render(variants["every part"] ?? [])).split(/^---$/m)
      const selected = documents.filter(
        (text) => /^kind: Service$/m.test(text) && text.includes("component: ops")
      )
      assert.equal(selected.length, 1)
      assert.match(selected[0] ?? "", /name: ops, port: 9464|name: ops\n/)
      const monitor = documents.find((text) => text.includes("kind: ServiceMonitor"))
      assert.match(monitor ?? "", /matchLabels:[\s\S]*component: ops[\s\S]*port: ops/)
    }
  },
  {
    name: "the chart holds the rules and the dashboard of deploy/",
    run: async () => {
      const same = { "alerts.yml": ["prometheus"], "dashboard.json": ["grafana"] }
      assert.deepEqual(readdirSync(join(chart, "files")).sort(), Object.keys(same).sort())
      for (const [file, [folder = ""]] of Object.entries(same)) {
        const ours = readFileSync(join(chart, "files", file), "utf8")
        assert.equal(ours, readFileSync(fileAt(`deploy/${folder}/${file}`), "utf8"))
      }
    }
  }
]

/** What the rendered objects reach, and which pods they mean. */
const reachChecks = (render: Render): ReadonlyArray<Check> => [
  {
    name: "the NetworkPolicy lets metrics be scraped, and the database, the store and name servers be reached",
    run: async () => {
      const stores: ReadonlyArray<readonly [endpoint: string, ports: ReadonlyArray<string>]> = [
        ["http://ceph.lan:7480", ["53", "53", "5432", "443", "7480"]],
        ["http://ceph.lan", ["53", "53", "5432", "443", "80"]],
        ["https://s3.lan", ["53", "53", "5432", "443"]],
        ["", ["53", "53", "5432", "443"]]
      ]
      for (const [endpoint, ports] of stores) {
        const documents = (await render([`s3.endpoint=${endpoint}`])).split(/^---$/m)
        const policy = documents.find((text) => text.includes("kind: NetworkPolicy")) ?? ""
        const [ingress = "", egress = ""] = policy.split(/^ +egress:$/m)
        assert.match(ingress, /port: ops, protocol: TCP \}\]\n +from:\n +- namespaceSelector: \{\}/)
        assert.match(ingress, /port: registry, protocol: TCP \}\]\n(?! +from:)/)
        const reached = [...egress.matchAll(/port: (\d+)/g)].map(([, port]) => port)
        assert.deepEqual(reached, ports, endpoint)
      }
    }
  },
  {
    name: "the service, the budget and the autoscaler are those of the Deployment that serves",
    run: async () => {
      const documents = (await render(variants["every part"] ?? [])).split(/^---$/m)
      const of = (kind: string) =>
        documents.find((text) => text.includes(`kind: ${kind}\n`) && /component: serve/.test(text)) ?? ""
      const selector =
        /app\.kubernetes\.io\/name: artifact-gc\s+app\.kubernetes\.io\/instance: release\s+app\.kubernetes\.io\/component: serve\n/
      const [, spec = ""] = of("Deployment").split(/^spec:$/m)
      assert.match(/selector:[\s\S]*template:/.exec(spec)?.[0] ?? "", selector)
      for (const label of ["name: artifact-gc", "instance: release", "component: serve"]) {
        assert.ok(
          (/template:[\s\S]*spec:/.exec(spec)?.[0] ?? "").includes(`app.kubernetes.io/${label}\n`),
          label
        )
      }
      for (const kind of ["Service", "PodDisruptionBudget"]) {
        assert.match(/selector:[\s\S]*/.exec(of(kind))?.[0] ?? "", selector, kind)
      }
      const scaler = documents.find((text) => text.includes("kind: HorizontalPodAutoscaler")) ?? ""
      const [, name = "?"] = /^ {2}name: (\S+)$/m.exec(of("Deployment")) ?? []
      assert.match(scaler, new RegExp(`kind: Deployment\\s+name: ${name}\\n`))
      // A target of utilization is a share of the request, and the autoscaler alone sets the number.
      assert.match(spec, /requests:\n +cpu: /)
      assert.doesNotMatch(spec, /^ {2}replicas:/m)
    }
  }
]

const checksOf = (cache: string, folder: string, location: () => string): ReadonlyArray<Check> => {
  const render = rendering(cache)
  const conforms = async (name: string, values: ReadonlyArray<string>, version: string) => {
    const file = join(folder, `${name.replaceAll(" ", "-")}-${version}.yaml`)
    const manifests = await render(values, version)
    writeFileSync(file, manifests)
    const out = await checked(kubeconform.binary(cache), [
      ...["-strict", "-summary", "-schema-location", location()],
      // Their schemas are the Prometheus Operator's. promtool checks the rules, and a check below the monitor.
      ...["-skip", "ServiceMonitor,PrometheusRule", file]
    ])
    return out.trim()
  }
  const refusals: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["no database", ["s3.bucket=b", "database.secretName="]],
    ["no bucket", ["database.secretName=db", "s3.bucket="]],
    ["a misspelt value", [...required, "serve.replica=3"]],
    ["a secret among the settings", [...required, "settings.DATABASE_URL=postgres://"]],
    ["an unknown kind of collector", [...required, "collect.kind=daemon"]]
  ]
  return [
    {
      name: "helm lints the chart",
      run: async () => {
        for (const version of kubernetes) {
          const args = ["lint", chart, "--strict", "--kube-version", version, ...set(required)]
          await checked(helm.binary(cache), args)
        }
      }
    },
    ...Object.entries(variants).flatMap(([name, values]) =>
      kubernetes.map((version) => ({
        name: `Kubernetes knows each field of the chart with ${name}, asked for ${version}`,
        run: () => conforms(name, values, version)
      }))
    ),
    {
      name: "kubeconform refuses a field that Kubernetes does not know: the control",
      run: async () => {
        const file = join(folder, "wrong.yaml")
        writeFileSync(file, (await render([])).replace("readinessProbe", "readyProbe"))
        const args = ["-strict", "-schema-location", location(), file]
        const { code, all } = await capture(kubeconform.binary(cache), args)
        assert.notEqual(code, 0)
        assert.match(all, /readyProbe/)
      }
    },
    ...refusals.map(([name, values]) => ({
      name: `values are refused: ${name}`,
      run: async () => {
        const args = ["template", "release", chart, "--kube-version", kubernetes[1] ?? "", ...set(values)]
        const { code } = await capture(helm.binary(cache), args)
        assert.notEqual(code, 0)
      }
    }))
  ]
}

export const suite = (cache: string, folder: string): Suite => {
  let location = ""
  return {
    prepare: async () => {
      location = writeSchemas(join(folder, "schemas"))
    },
    checks: [
      ...checksOf(cache, folder, () => location),
      ...contentChecks(rendering(cache)),
      ...reachChecks(rendering(cache))
    ]
  }
}
