/** Checks by name. Prints the verdict of each as soon as it is known, and counts them. */
import { messageOf } from "../../../tools/Program.ts"

/** A check that cannot be made on this machine; the message says why. It never counts as passed. */
export class Skipped extends Error {}

/** A check passes unless it throws. What it returns is printed beside its name. */
export interface Check {
  readonly name: string
  readonly run: () => Promise<unknown>
}

export interface Suite {
  /** Runs before the checks. If it throws, each check gets its verdict. */
  readonly prepare?: () => Promise<void>
  readonly checks: ReadonlyArray<Check>
}

const indented = (text: string): string => text.trimEnd().replaceAll("\n", "\n      ")

export class Report {
  passed = 0
  failed = 0
  skipped = 0

  /** Makes one check. */
  async check({ name, run }: Check): Promise<void> {
    const started = performance.now()
    try {
      const note = await run()
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      this.passed += 1
      this.#say("ok", name, ` (${seconds} s${typeof note === "string" && note !== "" ? `; ${note}` : ""})`)
    } catch (error) {
      this.#missed(name, error)
    }
  }

  /** Makes the checks of a suite, one after the other. */
  async suite({ prepare = async () => {}, checks }: Suite): Promise<void> {
    try {
      await prepare()
    } catch (error) {
      for (const { name } of checks) this.#missed(name, error)
      return
    }
    for (const check of checks) await this.check(check)
  }

  #say(verdict: string, name: string, more: string): void {
    process.stdout.write(`${verdict.padEnd(8)}${name}${more}\n`)
  }

  #missed(name: string, error: unknown): void {
    if (error instanceof Skipped) {
      this.skipped += 1
      this.#say("skipped", name, `: ${indented(error.message)}`)
    } else {
      this.failed += 1
      const text = error instanceof Error ? (error.stack ?? error.message) : messageOf(error)
      this.#say("FAILED", name, `\n      ${indented(text)}`)
    }
  }
}
