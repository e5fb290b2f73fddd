/** Checks by name: what each came to, said as soon as it is known, and counted. */

/** A check that cannot be made on this machine; the message says why. It never counts as passed. */
export class Skipped extends Error {}

const indented = (text) => text.trimEnd().replaceAll("\n", "\n      ")

export class Report {
  passed = 0
  failed = 0
  skipped = 0

  #say(verdict, name, more = "") {
    process.stdout.write(`${verdict.padEnd(8)}${name}${more}\n`)
  }

  /** Makes one check; it passed unless it throws. What it returns is said beside its name. */
  async check(name, run) {
    const started = performance.now()
    try {
      const note = await run()
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      this.passed += 1
      this.#say("ok", name, ` (${seconds} s${note ? `; ${note}` : ""})`)
    } catch (error) {
      this.#missed(name, error)
    }
  }

  /** Makes the checks of a suite. Where its preparation fails, each of them comes to what that came to. */
  async suite({ prepare = async () => {}, checks }) {
    try {
      await prepare()
    } catch (error) {
      for (const [name] of checks) this.#missed(name, error)
      return
    }
    for (const [name, run] of checks) await this.check(name, run)
  }

  #missed(name, error) {
    if (error instanceof Skipped) {
      this.skipped += 1
      this.#say("skipped", name, `: ${indented(error.message)}`)
    } else {
      this.failed += 1
      this.#say("FAILED", name, `\n      ${indented(error.stack ?? String(error))}`)
    }
  }
}
