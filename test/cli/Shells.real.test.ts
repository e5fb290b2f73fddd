/** The completions in zsh and fish, and the page of man under mandoc: each by the program that its users have. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { app } from "../../src/cli/App.ts"
import { script } from "../../src/cli/help/Completions.ts"
import { fileAt } from "../../tools/Repository.ts"
import { cacheFolder } from "../../tools/servers/Servers.ts"
import { shells } from "../../tools/servers/Shells.ts"
import { completed, typed } from "../fixtures/cli/Completed.ts"

const folder = mkdtempSync(join(tmpdir(), "shells-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const write = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const mark = "=== "

/** Asserts that each answer, behind its mark, offers each word. */
const assertOffers = (output: string) => {
  const answers = output.split(mark).slice(1)
  assert.lengthOf(answers, typed.length, output)
  for (const [index, [line, words]] of completed.entries()) {
    for (const word of words) assert.match(answers[index] ?? "", new RegExp(`(^|\\s)${word}\\b`, "m"), line)
  }
}

describe("the completions", () => {
  it("of fish offer commands, flags and values", async () => {
    const { fish, fishFunctions, run } = shells(cacheFolder())
    const completions = write("artifact-gc.fish", script("fish", app))
    const harness = write(
      "harness.fish",
      `set fish_function_path ${fishFunctions}
set fish_complete_path
source ${completions}
for line in ${typed.map((line) => `'${line}'`).join(" ")}
  echo '${mark}'
  complete -C $line
end
`
    )
    assertOffers(await run(fish, ["--no-config", harness]))
  })

  it("of zsh offer commands, flags and values", { timeout: 60_000 }, async () => {
    const { functions, modules, run, zsh } = shells(cacheFolder())
    write("_artifact-gc", script("zsh", app))
    const inner = [
      `module_path=(${modules})`,
      `fpath=(${[...functions, folder].join(" ")})`,
      "zmodload zsh/zle zsh/complete zsh/complist zsh/computil zsh/parameter",
      "setopt zle; PS1=; stty cols 200 rows 60",
      "autoload -U compinit; compinit -D -u; bindkey '^O' list-choices; bindkey '^U' kill-whole-line",
      "print REA''DY"
    ].join("; ")
    // zsh completes on a terminal alone, and tells no program when it has drawn the list: so it is awaited.
    const harness = write(
      "harness.zsh",
      `module_path=(${modules})
zmodload zsh/zpty zsh/zselect
zpty inner "${zsh} -f -i"
zpty -w inner ${JSON.stringify(inner)}
zpty -r inner out '*READY*'
offers() {
  local line=$1 seen= part; shift
  print -r -- '${mark}'
  zpty -w -n inner "$line"$'\x0f'
  for (( turn = 0; turn < 50; turn++ )); do
    while zpty -r -t inner part; do seen+=$part; done
    local missing=0
    for word in "$@"; do [[ "$seen" == *"$word"* ]] || missing=1; done
    (( missing )) || break
    zselect -t 10
  done
  print -r -- "$seen"
  zpty -w -n inner $'\x15'
}
${completed.map(([line, words]) => `offers '${line}' ${words.join(" ")}`).join("\n")}
zpty -d inner
`
    )
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's own
    assertOffers((await run(zsh, ["-f", harness])).replaceAll(/\u001b\[[0-9;?]*[a-zA-Z]/g, " "))
  })
})

describe("the page of man", () => {
  it("gives mandoc nothing to warn of", async () => {
    const { mandoc, run } = shells(cacheFolder())
    assert.strictEqual(await run(mandoc, ["-Tlint", "-W", "warning", fileAt("man/artifact-gc.1")]), "")
  })
})
