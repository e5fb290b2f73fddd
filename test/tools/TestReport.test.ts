import { assert, describe, it } from "vitest"
import { empty, outcomeOf, type ReportedFile, type ReportedTest } from "../../tools/TestReport.ts"

const tested = (title: string, status: string, message?: string): ReportedTest => ({
  ancestorTitles: ["a group"],
  title,
  fullName: `a group ${title}`,
  status,
  failureMessages: message === undefined ? [] : [message]
})

const reported = (
  name: string,
  status: string,
  assertionResults: ReadonlyArray<ReportedTest>,
  message = ""
): ReportedFile => ({ name: `/repository/${name}`, status, message, assertionResults })

const outcome = (testResults: ReadonlyArray<ReportedFile>, exitCode: number) => {
  const count = (wanted: string) =>
    testResults.flatMap((file) => file.assertionResults).filter(({ status }) => status === wanted).length
  const report = { testResults, numPassedTests: count("passed"), numFailedTests: count("failed") }
  return outcomeOf(report, exitCode, "/repository")
}

describe("the outcome of a test run", () => {
  it("names each failed test with its file and the first line of its message", () => {
    const files = [
      reported("test/A.test.ts", "passed", [tested("passes", "passed"), tested("waits", "pending")]),
      reported("test/B.test.ts", "failed", [
        tested("passes", "passed"),
        tested("fails", "failed", "\nAssertionError: expected 2 to equal 3\n    at B.test.ts:1")
      ])
    ]
    assert.deepStrictEqual(outcome(files, 1), {
      passed: 2,
      failed: 1,
      skipped: ["a group waits"],
      failures: ["test/B.test.ts > a group > fails: AssertionError: expected 2 to equal 3"]
    })
  })

  it("counts a file that cannot be loaded, and a failed hook, as one failure each", () => {
    const files = [
      reported("test/A.test.ts", "failed", [], "Error: no such module\nat line 1"),
      reported("test/B.test.ts", "failed", [tested("passes", "passed")], "Error: the hook\nat line 1")
    ]
    assert.deepInclude(outcome(files, 1), {
      failed: 2,
      failures: ["test/A.test.ts: Error: no such module", "test/B.test.ts: Error: the hook"]
    })
  })

  it("is a failure when vitest ends with an exit code although no test failed", () => {
    const files = [reported("test/A.test.ts", "passed", [tested("passes", "passed")])]
    const { failed, failures } = outcome(files, 1)
    assert.strictEqual(failed, 1)
    assert.match(failures.join(), /exit code 1, but no test failed/)
    assert.deepInclude(outcome(files, 0), { passed: 1, failed: 0, failures: [] })
  })

  it("is a failure when no test ran", () => {
    assert.deepInclude(outcomeOf(empty, 0, "/repository"), {
      passed: 0,
      failed: 1,
      failures: ["no test ran, which proves nothing"]
    })
  })
})
