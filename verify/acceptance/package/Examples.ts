/**
 * The apps of examples/, copied beside the installed package and compiled against it. They name the package alone, so each is
 * tried as the app of a stranger: a program of its own that ends by itself or by a signal.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { fileAt } from "../../../tools/Repository.ts"
import { catalogue } from "./Programs.ts"

/** Runs a command to its end and returns its standard output. Fails with all that it wrote. */
export const run = (command: string, args: ReadonlyArray<string>, cwd: string): string => {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: exit code ${status}\n${stdout}\n${stderr}`)
  return stdout
}

/** Runs a program of Node to its end, as {@link run} does. */
export const node = (args: ReadonlyArray<string>, cwd: string): string => run(process.execPath, args, cwd)

const compile = (folder: string, name: string, main: string): string => {
  writeFileSync(
    join(folder, name, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        ...{ target: "es2023", module: "nodenext", strict: true, exactOptionalPropertyTypes: true },
        ...{ rewriteRelativeImportExtensions: true, skipLibCheck: true, types: ["node"], outDir: "out" }
      },
      files: [main]
    })
  )
  node([join("node_modules", "typescript", "bin", "tsc"), "-p", name], folder)
  return join(name, "out", main.replace(/\.ts$/, ".js"))
}

/** Copies an example into the folder and compiles it against the installed package. Returns the program's path. */
const compiled = (folder: string, name: string): string => {
  mkdirSync(join(folder, name))
  for (const file of readdirSync(fileAt(`examples/${name}`))) {
    if (!file.endsWith(".ts") || file.endsWith(".test.ts")) continue
    copyFileSync(fileAt(`examples/${name}/${file}`), join(folder, name, file))
  }
  return compile(folder, name, "main.ts")
}

/** Runs an example to its end and returns what it printed. */
export const example = (folder: string, name: string): string => node([compiled(folder, name)], folder)

/** A program that runs until it is stopped. */
class Running {
  readonly #child: ChildProcess
  readonly #name: string
  #output = ""
  #ended: number | null | undefined

  constructor(folder: string, name: string, program: string, env: Readonly<Record<string, string>>) {
    this.#name = name
    this.#child = spawn(process.execPath, [program], {
      cwd: folder,
      env: { PATH: process.env.PATH, ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output += text
      })
    this.#child.once("exit", (code) => {
      this.#ended = code
    })
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#output
  }

  /** Returns what `look` finds, which is asked again until then. Fails if the program ends, or after 30 seconds. */
  async until<A>(look: () => A | undefined | Promise<A | undefined>): Promise<A> {
    const end = performance.now() + 30_000
    while (this.#ended === undefined && performance.now() < end) {
      const found = await look()
      if (found !== undefined) return found
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`${this.#name} has exit code ${this.#ended ?? "none"} and printed\n${this.#output}`)
  }

  /** Sends SIGTERM and waits for the end. Fails unless the program ends by itself: Effect's exit code for it is 130. */
  async terminate(): Promise<void> {
    this.#child.kill("SIGTERM")
    await this.until(() => undefined).catch((error: unknown) => {
      if (this.#ended !== 0 && this.#ended !== 130) throw error
    })
  }

  /** Ends it without asking. */
  kill(): void {
    this.#child.kill("SIGKILL")
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const listener = createServer()
    listener.listen(0, "127.0.0.1", () => {
      const address = listener.address()
      listener.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const expect = (what: string, actual: unknown, expected: unknown): void => {
  if (actual !== expected) throw new Error(`${what}: ${String(actual)} instead of ${String(expected)}`)
}

/** Uploads, reads a part, and deletes over HTTP. SIGTERM ends the app and its PostgreSQL. */
export const attachments = async (folder: string): Promise<string> => {
  const port = await freePort()
  const app = new Running(folder, "attachments", compiled(folder, "attachments"), {
    PORT: String(port),
    DATA_DIRECTORY: join(folder, "attachments-data")
  })
  try {
    const base = `http://127.0.0.1:${port}`
    const file = `${base}/tickets/7/log.txt`
    const ask = (url: string, request: RequestInit = {}) =>
      fetch(url, { ...request, signal: AbortSignal.timeout(10_000) })
    const put = () => ask(file, { method: "PUT", body: "0123456789" })
    const { status } = await app.until(() => put().catch(() => undefined))
    expect("PUT", status, 201)
    const part = await ask(file, { headers: { range: "bytes=2-4" } })
    expect("GET of a range", await part.text(), "234")
    expect("DELETE", (await ask(file, { method: "DELETE" })).status, 204)
    expect("GET of a deleted one", (await ask(file)).status, 404)
    await app.until(async () => {
      const metrics = await (await ask(`${base}/metrics`)).text()
      return /^artifact_gc_sweeps_total\{[^}]*outcome="complete"[^}]*\} [1-9]/m.test(metrics)
        ? true
        : undefined
    })
    await app.terminate()
    return "a sweep is complete, and SIGTERM ends it"
  } finally {
    app.kill()
  }
}

/** Starts two runners over one database, and ends the one that sweeps: the other must take over. */
export const cluster = async (folder: string): Promise<string> => {
  const program = compiled(folder, "cluster")
  mkdirSync(join(folder, "catalogue"))
  writeFileSync(join(folder, "catalogue", "catalogue.ts"), catalogue)
  const server = new Running(folder, "catalogue", compile(folder, "catalogue", "catalogue.ts"), {
    DATA_DIRECTORY: join(folder, "cluster-data")
  })
  const runners: Array<Running> = []
  try {
    const place = await server.until(() => /^\{.*\}$/m.exec(server.output)?.[0])
    const env = { ...(JSON.parse(place) as Record<string, string>), FAST: "1" }
    for (let index = 0; index < 2; index++) {
      const own = { RUNNER_PORT: String(await freePort()), OBJECTS: join(folder, "cluster-objects") }
      runners.push(new Running(folder, "cluster", program, { ...env, ...own }))
    }
    const [first] = runners
    if (first === undefined) throw new Error("no runner")
    const swept = () => runners.find(({ output }) => /^swept \S+ complete$/m.test(output))
    const owner = await first.until(swept)
    const other = runners.find((runner) => runner !== owner)
    const began = performance.now()
    await owner.terminate()
    runners.splice(runners.indexOf(owner), 1)
    await other?.until(swept)
    return `another runner has swept ${((performance.now() - began) / 1000).toFixed(1)} s after SIGTERM`
  } finally {
    for (const runner of runners) runner.kill()
    await server.terminate().finally(() => server.kill())
  }
}
