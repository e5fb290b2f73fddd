import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { app } from "../../src/cli/App.ts"
import { script } from "../../src/cli/help/Completions.ts"
import { sections } from "../../src/config/settings.ts"
import { completed, typed } from "../fixtures/cli/Completed.ts"

/** Calls the function that bash calls for the last of the words, and prints what it offers. */
const harness = `
source "$1"
while IFS= read -r line; do
  read -ra COMP_WORDS <<<"$line"
  [[ $line == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 )); COMP_LINE=$line; COMP_POINT=\${#line}; COMPREPLY=()
  complete=$(complete -p artifact-gc); complete=\${complete#*-F }
  "\${complete%% *}" artifact-gc "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
  printf '%s\\n' "\${COMPREPLY[*]}"
done
`

describe("the completions of bash", () => {
  const folder = mkdtempSync(join(tmpdir(), "completions-"))
  let offered: ReadonlyMap<string, ReadonlyArray<string>>

  beforeAll(() => {
    writeFileSync(join(folder, "completions"), script("bash", app))
    writeFileSync(join(folder, "harness"), harness)
    const lines = execFileSync("bash", ["--norc", join(folder, "harness"), join(folder, "completions")], {
      input: `${typed.join("\n")}\n`,
      encoding: "utf8"
    }).split("\n")
    offered = new Map(typed.map((line, index) => [line, (lines[index] ?? "").split(" ").sort()]))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  for (const [line, words] of completed) {
    it(`of "${line}" are ${words.join(", ")}`, () => {
      expect(offered.get(line)).toEqual(words)
    })
  }
})

describe("a script of completions", () => {
  for (const shell of ["bash", "zsh", "fish", "powershell"] as const) {
    it(`for ${shell} names each setting that is a flag, and no secret`, () => {
      const text = script(shell, app)
      for (const { env, secret } of Object.values(sections).flatMap((section) => Object.values(section))) {
        const flag = env.toLowerCase().replaceAll("_", "-")
        expect(new RegExp(`[ -]${flag}\\b(?!-)`).test(text)).toBe(!secret)
      }
    })
  }
})
