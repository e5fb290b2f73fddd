/** The text of `doctor`: each finding with what was seen and what to paste. */
import { countsOf, type Finding, type Severity } from "../doctor/Finding.ts"
import { printable } from "../domain/printable.ts"

const width = "problem".length

const line = (label: string, text: string): string => `${" ".repeat(width + 2)}${label.padEnd(5)}${text}`

/** Returns a finding as lines. One that is well takes one line. */
export const finding = ({ check, docs, fix, seen, severity, title }: Finding): string => {
  const first = `${severity.padEnd(width)}  ${printable(title)}`
  if (severity === "ok") return `${first}${seen === "" ? "" : `. ${printable(seen)}`}`
  return [
    `${first} (${check})`,
    ...seen
      .split("\n")
      .flatMap((part, n) => (part === "" ? [] : [line(n === 0 ? "seen" : "", printable(part))])),
    ...(fix === null ? [] : [line("fix", printable(fix))]),
    ...(docs === null ? [] : [line("docs", docs)])
  ].join("\n")
}

const words: Readonly<Record<Severity, readonly [one: string, many: string]>> = {
  problem: ["problem", "problems"],
  warning: ["warning", "warnings"],
  note: ["note", "notes"],
  ok: ["check found nothing wrong", "checks found nothing wrong"]
}

/** Returns all findings, and their numbers in the last line. `write` says that a write was allowed. */
export const report = (findings: ReadonlyArray<Finding>, write: boolean): string => {
  const counts = Object.entries(countsOf(findings)) as ReadonlyArray<[Severity, number]>
  const said = counts
    .filter(([severity, count]) => count > 0 || severity === "problem")
    .map(([severity, count]) => `${count === 0 ? "no" : count} ${words[severity][count === 1 ? 0 : 1]}`)
  return [
    ...findings.map(finding),
    `${said.join(", ")}. ${write ? "Nothing was changed but an object of its own." : "Nothing was changed."}`
  ].join("\n")
}
