import { describe, expect, it } from "vitest"
import { advice, afterConfirming, breakerNames } from "../../src/cli/BreakerText.ts"

describe("the words about a breaker", () => {
  it("say what a confirmation is for", () => {
    expect(advice("orphans")).toBe("To delete them: artifact-gc breaker --confirm orphans.")
    expect(advice("age")).toBe(
      "To delete them although the database may have forgotten their rows: artifact-gc breaker --confirm age."
    )
    expect(advice("references")).toBe(
      "To sweep without these foreign keys: artifact-gc breaker --confirm references."
    )
  })

  it("say what happens after a confirmation, each once", () => {
    expect(afterConfirming(["age"])).toMatch(/^Objects of the lost time .* count as leftovers from now on\./)
    expect(afterConfirming(["age"])).not.toContain("condemned")
    expect(afterConfirming(["orphans", "orphans"])).toBe(
      "The next sweep deletes the blobs that are condemned now and have waited long enough."
    )
    expect(afterConfirming(["a host's own"])).toContain("held back")
    expect(breakerNames).toContain("manifests")
  })
})
