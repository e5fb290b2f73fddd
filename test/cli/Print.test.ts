/** What operators see of keys and names that others chose. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestConsole } from "effect/testing"
import * as Print from "../../src/cli/Print.ts"
import { printable, printableLines } from "../../src/domain/printable.ts"
import { SettingsRefused } from "../../src/domain/Refusals.ts"
import { StorageError } from "../../src/domain/StorageError.ts"

const hostile = "a\u001b]0;x\u0007\u009bm\r\n\u2028\u202e\ud800b"

describe("a value that is printed", () => {
  it("shows every character that a terminal would obey", () => {
    assert.strictEqual(printable(hostile), String.raw`a\x1b]0;x\x07\x9bm\x0d\n\u{2028}\u{202e}\u{d800}b`)
    assert.strictEqual(printable("blobs/ä/日本/👍 ok"), "blobs/ä/日本/👍 ok")
    assert.strictEqual(
      printableLines("one\n\ttwo\u001b"),
      String.raw`one
\x09two\x1b`
    )
  })

  it.effect("has passed that door, whatever the command forgot", () =>
    Effect.gen(function* () {
      yield* Print.text(`first\nsecond ${hostile}`)
      yield* Print.json({ key: hostile })
      const [text, json] = yield* TestConsole.logLines
      assert.notMatch(String(text).replaceAll("\n", ""), /[\p{Cc}\p{Cf}\p{Zl}]/u)
      assert.deepStrictEqual(JSON.parse(String(json)), { key: hostile }, "JSON says exactly what it is")
    })
  )

  it("is escaped in errors, too, so that a key cannot add a line", () => {
    const store = new StorageError({
      operation: "head",
      subject: hostile,
      reason: "Unknown",
      detail: hostile
    })
    const peer = new SettingsRefused({ peer: hostile, seenAt: "now", differences: [hostile] })
    assert.strictEqual(store.message.split("\n").length, 1)
    assert.strictEqual(peer.message.split("\n").length, 3)
    for (const { message } of [store, peer]) assert.notInclude(message, "\u001b")
  })
})
