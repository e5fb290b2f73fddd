/** The commands that run with V8's small heap. `serve` must not, because pulls would need three to five times as much CPU. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { build, type Program, start } from "../fixtures/cli/Program.ts"

let program: Program
beforeAll(() => {
  program = build()
}, 60_000)
afterAll(() => program?.remove())

/** Says on stderr which flags the program gives V8. */
const spy = `
import v8 from "node:v8"
import { syncBuiltinESMExports } from "node:module"
v8.setFlagsFromString = (flag) => process.stderr.write("V8: " + flag + "\\n")
syncBuiltinESMExports()`

const flagsOf = async (command: string, args: ReadonlyArray<string>, ends: RegExp) => {
  const run = start(process.execPath, [program.path, command, ...args], {
    cwd: program.directory(command),
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(spy)}` }
  })
  await run.says(ends)
  run.child.kill("SIGTERM")
  await run.ended
  return [...run.err().matchAll(/^V8: (.*)$/gm)].map(([, flag]) => flag)
}

const small = ["--heap-growing-percent=33"]

describe("V8's heap", { timeout: 90_000 }, () => {
  it("is small for run", async () => {
    assert.deepStrictEqual(await flagsOf("run", [], /Next sweep at/), small)
  })

  it("has V8's own limits for serve, whose WebAssembly is optimised at once", async () => {
    assert.deepStrictEqual(await flagsOf("serve", ["--serve-port", "0"], /Sweep complete/), [
      "--no-wasm-dynamic-tiering"
    ])
  })
})
