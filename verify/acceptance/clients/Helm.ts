/** helm: charts by `oci://`. */
import assert from "node:assert/strict"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Command, command, homeOf } from "./Command.ts"
import type { Context } from "./Context.ts"
import { user } from "./Guarded.ts"
import { type LoginClient, loginChecks } from "./Logins.ts"
import type { Suite } from "./Report.ts"

/** Writes a chart with one template. Returns its folder. */
const writeChart = (home: string, name: string, version: string, more: string): string => {
  const folder = join(home, `${name}-${version}`, name)
  mkdirSync(join(folder, "templates"), { recursive: true })
  writeFileSync(join(folder, "Chart.yaml"), `apiVersion: v2\nname: ${name}\nversion: ${version}\n${more}`)
  const map = `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata:\n  version: "${version}"\n`
  writeFileSync(join(folder, "templates", "map.yaml"), map)
  return folder
}

/** Packages a chart. Returns the archive. */
const packaged = async (
  helm: Command,
  home: string,
  name: string,
  version: string,
  more = ""
): Promise<string> => {
  await helm("package", writeChart(home, name, version, more), "--destination", home)
  return join(home, `${name}-${version}.tgz`)
}

export const suite = (context: Context): Suite => {
  const { registry, repositories } = context
  const home = homeOf(context, "helm")
  const helm = command(context, "helm")
  const charts = `oci://${new URL(registry.url).host}/helm`
  const push = (archive: string, to: string) => helm("push", archive, to, "--plain-http")
  const client: LoginClient = {
    name: "helm",
    login: (host, password) =>
      helm("registry", "login", host, "--plain-http", "-u", user.name, "-p", password),
    logout: (host) => helm("registry", "logout", host),
    push: async (host, repository) =>
      push(await packaged(helm, home, "helm", "1.0.0"), `oci://${host}/${repository.replace(/\/helm$/, "")}`),
    pull: (host, repository) =>
      helm("show", "chart", `oci://${host}/${repository}`, "--version", "1.0.0", "--plain-http")
  }
  for (const repository of ["helm/app", "helm/umbrella"]) repositories.add(repository)
  return {
    checks: [
      {
        name: "helm pushes two versions of a chart and pulls them, each byte, by every way",
        run: async () => {
          mkdirSync(join(home, "pulled-to"), { recursive: true })
          for (const version of ["0.1.0", "0.2.0"]) {
            const archive = await packaged(helm, home, "app", version)
            await push(archive, charts)
            for (const { url } of registry.ways) {
              const from = `oci://${new URL(url).host}/helm/app`
              await helm("pull", from, "--version", version, "--plain-http", "--destination", "pulled-to")
              const pulled = readFileSync(join(home, "pulled-to", `app-${version}.tgz`))
              assert.ok(pulled.equals(readFileSync(archive)), `the bytes of ${version}`)
            }
          }
        }
      },
      {
        name: "helm finds the newest version, and the newest of a range, in the list of tags",
        run: async () => {
          assert.match(await helm("show", "chart", `${charts}/app`, "--plain-http"), /version: 0\.2\.0/)
          const older = await helm("show", "chart", `${charts}/app`, "--version", "<0.2.0", "--plain-http")
          assert.match(older, /version: 0\.1\.0/)
          assert.match(await helm("template", `${charts}/app`, "--plain-http"), /kind: ConfigMap/)
        }
      },
      {
        name: "helm resolves a chart's dependency from the registry and pushes the whole",
        run: async () => {
          const more = `dependencies:\n  - name: app\n    version: 0.1.x\n    repository: ${charts}\n`
          const folder = writeChart(home, "umbrella", "1.0.0", more)
          await helm("dependency", "update", folder, "--plain-http")
          await helm("package", folder, "--destination", home)
          await push(join(home, "umbrella-1.0.0.tgz"), charts)
          const shown = await helm("template", `${charts}/umbrella`, "--plain-http")
          assert.match(shown, /umbrella\/charts\/app\/templates\/map\.yaml/)
        }
      },
      ...loginChecks(client, context)
    ]
  }
}
