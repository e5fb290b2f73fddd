/** The tools by which users check the files of deploy/, at pinned versions. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { root } from "../../tools/Repository.ts"
import { program } from "../../tools/servers/Golang.ts"
import { capture } from "../../tools/servers/Processes.ts"

export const helm = program({ name: "helm", module: "helm.sh/helm/v3/cmd/helm", version: "v3.22.0" })

export const kubeconform = program({
  name: "kubeconform",
  module: "github.com/yannh/kubeconform/cmd/kubeconform",
  version: "v0.7.0"
})

/** Reads a compose file as Docker's own plug-in does. Its program is called `cmd`. */
export const compose = program({
  name: "cmd",
  module: "github.com/compose-spec/compose-go/v2/cmd",
  version: "v2.16.2"
})

/** Fetches what is missing into the cache folder. */
export const install = async (cache: string): Promise<void> => {
  for (const tool of [helm, kubeconform, compose]) await tool.install(cache)
}

/** Runs a tool and returns all that it wrote. Fails with it if the tool does. */
export const checked = async (command: string, args: ReadonlyArray<string>, cwd = root): Promise<string> => {
  const { code, signal, all } = await capture(command, args, { cwd })
  if (code === 0) return all
  throw new Error(`${command} ${args.join(" ")} ended with ${code ?? signal}:\n${all.slice(-4000)}`)
}

/** Returns the folder of a Go module's files, which `go` downloads if they are missing. */
export const moduleFolder = (module: string): string => {
  const { status, stdout, stderr } = spawnSync("go", ["mod", "download", "-json", module], {
    encoding: "utf8"
  })
  if (status !== 0) throw new Error(`go mod download ${module}: ${stdout}${stderr}`)
  return (JSON.parse(stdout) as { readonly Dir: string }).Dir
}

/** Returns a path below deploy/. */
export const deployed = (...path: ReadonlyArray<string>): string => join(root, "deploy", ...path)
