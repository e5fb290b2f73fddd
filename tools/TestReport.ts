/** Reads vitest's JSON report: what ran, what failed and why, what was skipped. */

/** The parts of vitest's JSON report that are read here. */
export interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: ReadonlyArray<ReportedFile>
}

export interface ReportedFile {
  /** The file's absolute path. */
  readonly name: string
  readonly status: string
  /** Why the file failed outside its tests; empty otherwise. */
  readonly message?: string
  readonly assertionResults: ReadonlyArray<ReportedTest>
}

export interface ReportedTest {
  readonly ancestorTitles: ReadonlyArray<string>
  readonly title: string
  readonly fullName: string
  readonly status: string
  readonly failureMessages?: ReadonlyArray<string> | null
}

/** What a run came to. */
export interface Outcome {
  readonly passed: number
  readonly failed: number
  /** The full names of the tests that did not run. */
  readonly skipped: ReadonlyArray<string>
  /** One line a failure: `file > test name: first line of its message`. */
  readonly failures: ReadonlyArray<string>
}

/** A report in which no test ran. */
export const empty: Report = { numPassedTests: 0, numFailedTests: 0, testResults: [] }

const firstLine = (message: string | undefined): string =>
  message
    ?.split("\n")
    .map((line) => line.trim())
    .find((line) => line !== "") ?? "no message"

const isFailed = ({ status }: { readonly status: string }): boolean => status === "failed"

const failuresOf = (file: ReportedFile, folder: string): ReadonlyArray<string> => {
  const path = file.name.startsWith(`${folder}/`) ? file.name.slice(folder.length + 1) : file.name
  const tests = file.assertionResults
    .filter(isFailed)
    .map(
      ({ ancestorTitles, title, failureMessages }) =>
        `${[path, ...ancestorTitles, title].join(" > ")}: ${firstLine(failureMessages?.[0])}`
    )
  // A file that cannot be loaded, or whose hook fails, has no failed test of its own.
  return tests.length === 0 && isFailed(file) ? [`${path}: ${firstLine(file.message)}`] : tests
}

/**
 * Returns what a run came to. The outcome is never better than the exit code: without a failure in the
 * report, a non-zero code counts as one, and so does a run in which no test ran. `folder` is what paths are
 * relative to.
 */
export const outcomeOf = (report: Report, exitCode: number, folder: string): Outcome => {
  const tests = report.testResults.flatMap((file) => file.assertionResults)
  const skipped = tests
    .filter(({ status }) => status !== "passed" && status !== "failed")
    .map(({ fullName }) => fullName)
  const failures = report.testResults.flatMap((file) => failuresOf(file, folder))
  const passed = report.numPassedTests
  if (failures.length === 0 && exitCode !== 0) {
    failures.push(`vitest ended with exit code ${exitCode}, but no test failed: see its output above`)
  } else if (failures.length === 0 && passed === 0) {
    failures.push("no test ran, which proves nothing")
  }
  return { passed, failed: failures.length, skipped, failures }
}
