/** Rules, scrape configuration, compose file and units: each is checked by the tool that reads it. */
import assert from "node:assert/strict"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../../tools/Repository.ts"
import { haproxy } from "../../tools/servers/Haproxy.ts"
import { capture, which } from "../../tools/servers/Processes.ts"
import { promtool } from "../../tools/servers/Prometheus.ts"
import { Skipped, type Suite } from "../acceptance/clients/Report.ts"
import { checked, compose, deployed } from "./Tools.ts"

/** systemd's score of exposure, times ten, that a unit may have: 0 is sealed, 100 is open. */
const exposureMax = 20

/** Prometheus and its rules. */
export const prometheus = (cache: string, folder: string): Suite => {
  const passes = async (args: ReadonlyArray<string>) => {
    const { code, output } = await promtool(cache, args, "")
    assert.equal(code, 0, output)
    return output
  }
  return {
    checks: [
      {
        name: "promtool reads the rules",
        run: async () =>
          /\d+ rules/.exec(await passes(["check", "rules", deployed("prometheus", "alerts.yml")]))?.[0]
      },
      {
        name: "promtool's unit tests of the rules pass",
        run: async () => void (await passes(["test", "rules", deployed("prometheus", "alerts.test.yml")]))
      },
      {
        name: "a unit test fails with another threshold: the control",
        run: async () => {
          const copy = join(folder, "rules")
          cpSync(deployed("prometheus"), copy, { recursive: true })
          const rules = join(copy, "alerts.yml")
          const text = readFileSync(rules, "utf8")
          writeFileSync(rules, text.replace('queue="dead_letters"}) > 0', 'queue="dead_letters"}) > 9'))
          const { code } = await promtool(cache, ["test", "rules", join(copy, "alerts.test.yml")], "")
          assert.notEqual(code, 0)
        }
      },
      {
        name: "promtool reads the configuration of the compose file's Prometheus, with its rules",
        run: async () => {
          const place = join(folder, "prometheus")
          mkdirSync(place)
          cpSync(deployed("compose", "prometheus.yml"), join(place, "prometheus.yml"))
          cpSync(deployed("prometheus", "alerts.yml"), join(place, "alerts.yml"))
          await passes(["check", "config", join(place, "prometheus.yml")])
        }
      }
    ]
  }
}

interface Service {
  readonly image?: string
  readonly read_only?: boolean
  readonly cap_drop?: ReadonlyArray<string>
  readonly ports?: ReadonlyArray<{ readonly host_ip?: string }>
  readonly volumes?: ReadonlyArray<{ readonly type: string; readonly source: string }>
}

/** The compose file, as its own library reads it. */
export const composed = (cache: string): Suite => {
  const read = async () => {
    const place = deployed("compose")
    const json = await checked(compose.binary(cache), ["-format", "json", "compose.yaml"], place)
    return JSON.parse(json) as { readonly services: Readonly<Record<string, Service>> }
  }
  return {
    checks: [
      {
        name: "the compose file is read, with two replicas, a collector and all that they need",
        run: async () => {
          const names = Object.keys((await read()).services).sort()
          const expected = ["balancer", "collector", "grafana", "migrate", "minio", "postgres"]
          assert.deepEqual(names, [...expected, "prometheus", "registry-1", "registry-2"])
        }
      },
      {
        name: "our containers have no rights, other images have a tag, and ports are this host's",
        run: async () => {
          for (const [name, service] of Object.entries((await read()).services)) {
            for (const { host_ip } of service.ports ?? []) assert.equal(host_ip, "127.0.0.1", name)
            if (service.image?.startsWith("artifact-gc:")) {
              assert.equal(service.read_only, true, name)
              assert.deepEqual(service.cap_drop, ["ALL"], name)
            } else assert.match(service.image ?? "", /:(?!latest)[\w.-]+$/, name)
          }
        }
      },
      {
        name: "HAProxy reads the balancer's configuration, and warns of nothing",
        run: async () => {
          const { env, path } = haproxy(cache)
          const { all, code } = await capture(path, ["-c", "-dW", "-f", deployed("compose", "haproxy.cfg")], {
            env
          })
          assert.equal(code, 0, all)
          return all.trim()
        }
      },
      {
        name: "every file that the compose file mounts exists",
        run: async () => {
          const mounts = Object.values((await read()).services).flatMap(({ volumes = [] }) => volumes)
          const files = mounts.filter(({ type }) => type === "bind").map(({ source }) => source)
          assert.ok(files.length >= 5)
          for (const file of files) assert.ok(existsSync(file), file)
        }
      }
    ]
  }
}

/** The units of systemd. */
export const units = (folder: string): Suite => {
  const files = readdirSync(deployed("systemd")).filter((name) => /\.(service|timer)$/.test(name))
  const services = files.filter((name) => name.endsWith(".service"))
  const place = join(folder, "units")
  return {
    prepare: async () => {
      if (!which("systemd-analyze")) throw new Skipped("systemd-analyze is missing: install Debian's systemd")
      mkdirSync(place)
      // The program that a unit names is looked for, and is not installed here.
      for (const name of files) {
        const text = readFileSync(deployed("systemd", name), "utf8")
        writeFileSync(join(place, name), text.replace("/usr/bin/artifact-gc", "/bin/true"))
      }
    },
    checks: [
      {
        name: "systemd-analyze verify finds nothing in the units",
        run: async () => {
          for (const name of files) {
            assert.equal(
              await checked("systemd-analyze", ["verify", "--man=no", join(place, name)]),
              "",
              name
            )
          }
        }
      },
      {
        name: "every page and file that a unit names as its documentation is in the package",
        run: async () => {
          for (const name of files) {
            const [, named = ""] =
              /^Documentation=(.*)$/m.exec(readFileSync(deployed("systemd", name), "utf8")) ?? []
            assert.deepEqual(
              named.split(" ").map((each) => each.replace(/:.*/, "")),
              ["man", "file"],
              name
            )
            for (const each of named.split(" ")) {
              const page = /^man:([\w-]+)\((\d)\)$/.exec(each)
              // npm puts a global package there, and its page of man where `man` looks.
              const file = page
                ? `man/${page[1]}.${page[2]}`
                : each.replace(/^file:.*\/node_modules\/artifact-gc\//, "")
              assert.ok(existsSync(join(root, file)), `${name}: ${each}`)
            }
          }
        }
      },
      ...services.map((name) => ({
        name: `systemd's score of exposure of ${name} is at most ${exposureMax / 10}`,
        run: async () => {
          const args = ["security", "--offline=true", `--threshold=${exposureMax}`, join(place, name)]
          const out = await checked("systemd-analyze", args)
          return /exposure level .*: ([\d.]+)/.exec(out)?.[1]
        }
      }))
    ]
  }
}
