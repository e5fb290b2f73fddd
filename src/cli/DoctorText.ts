/** The text of `doctor`: each finding with what was seen and what to paste. */
import { countsOf, type Finding, type Severity } from "../doctor/Finding.ts"
import { printable } from "../domain/printable.ts"
import { hanging } from "./Terminal.ts"

const severityWidth = "problem".length

const labelOf = (label: string): string => `${" ".repeat(severityWidth + 2)}${label.padEnd(5)}`

/** Returns a finding as lines. One that is well takes one line. */
export const finding = (
  { check, docs, fix, seen, severity, title }: Finding,
  width = Number.POSITIVE_INFINITY
): string => {
  const first = `${severity.padEnd(severityWidth)}  `
  if (severity === "ok") {
    return hanging(first, `${printable(title)}${seen === "" ? "" : `. ${printable(seen)}`}`, width).join("\n")
  }
  const parts = seen.split("\n").filter((part) => part !== "")
  return [
    ...hanging(first, `${printable(title)} (${check})`, width),
    ...(parts.length === 0 ? [] : hanging(labelOf("seen"), parts.map(printable).join("\n"), width)),
    ...(fix === null ? [] : [`${labelOf("fix")}${printable(fix)}`]),
    ...(docs === null ? [] : [`${labelOf("docs")}${docs}`])
  ].join("\n")
}

const words: Readonly<Record<Severity, readonly [one: string, many: string]>> = {
  problem: ["problem", "problems"],
  warning: ["warning", "warnings"],
  note: ["note", "notes"],
  ok: ["check found nothing wrong", "checks found nothing wrong"]
}

/** Returns all findings, and their numbers in the last line. `write` says that a write was allowed. */
export const report = (
  findings: ReadonlyArray<Finding>,
  write: boolean,
  width = Number.POSITIVE_INFINITY
): string => {
  const counts = Object.entries(countsOf(findings)) as ReadonlyArray<[Severity, number]>
  const said = counts
    .filter(([severity, count]) => count > 0 || severity === "problem")
    .map(([severity, count]) => `${count === 0 ? "no" : count} ${words[severity][count === 1 ? 0 : 1]}`)
  return [
    ...findings.map((one) => finding(one, width)),
    `${said.join(", ")}. ${write ? "Nothing was changed but an object of its own." : "Nothing was changed."}`
  ].join("\n")
}
