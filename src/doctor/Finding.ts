/** What a check found. */

/** How bad a finding is, the worst first. */
export const severities = ["problem", "warning", "note", "ok"] as const

/**
 * How bad a finding is. `problem`: sweeps refuse, fail or lose something. `warning`: they work, and worse than they could.
 * `note`: good to know. `ok`: checked, and as it should be.
 */
export type Severity = (typeof severities)[number]

/** What a check found. The names are part of `doctor --json`. */
export interface Finding {
  readonly severity: Severity
  /** The name of the check. */
  readonly check: string
  /** What is the matter, in a few words. */
  readonly title: string
  /** What was seen: numbers, names, the server's own words. */
  readonly seen: string
  /** A statement, a command or a setting that solves it, ready to paste; null where there is nothing to do. */
  readonly fix: string | null
  /** A page of the documentation, from the root of the repository; null where none says more. */
  readonly docs: string | null
}

/** A finding as its check returns it: the check's name and documentation are added. */
export type Found = Pick<Finding, "severity" | "title" | "seen"> & Partial<Pick<Finding, "fix" | "docs">>

/** Returns the findings with the worst first, and else in the order of the checks. */
export const worstFirst = (findings: ReadonlyArray<Finding>): ReadonlyArray<Finding> =>
  severities.flatMap((severity) => findings.filter((finding) => finding.severity === severity))

/** Returns how many findings have each severity. */
export const countsOf = (findings: ReadonlyArray<Finding>): Readonly<Record<Severity, number>> => {
  const of = (wanted: Severity) => findings.filter(({ severity }) => severity === wanted).length
  return { problem: of("problem"), warning: of("warning"), note: of("note"), ok: of("ok") }
}

/** Returns a finding that all is well. */
export const ok = (title: string, seen = ""): Found => ({ severity: "ok", title, seen })
