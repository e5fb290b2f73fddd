import { createHash } from "node:crypto"
import { createRequire } from "node:module"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Algorithm, fromHex } from "../../../src/domain/Digest.ts"
import type { SavedHash } from "../../../src/oci/database/contract/UploadSessions.ts"
import { begun, continued, libraryVersion, type WritableHash } from "../../../src/oci/uploads/WritableHash.ts"

const algorithms: ReadonlyArray<Algorithm> = ["sha256", "sha512"]

const digestOf = (algorithm: Algorithm, bytes: Uint8Array) =>
  fromHex(algorithm, createHash(algorithm).update(bytes).digest("hex"))

const found = (hash: WritableHash | null): WritableHash => {
  if (hash === null) throw new Error("there is no hash")
  return hash
}

const savedAfter = (algorithm: Algorithm, bytes: Uint8Array) =>
  Effect.map(begun(algorithm), (hash) => {
    found(hash).update(bytes)
    return found(hash).save("s")
  })

describe("a hash that can be written down", () => {
  it("names the version of its library", () => {
    const { version } = createRequire(import.meta.url)("hash-wasm/package.json") as { version: string }
    assert.strictEqual(libraryVersion, `hash-wasm ${version}`)
  })

  for (const algorithm of algorithms) {
    it.effect(`continues to the digest of Node's hash, wherever it was put down: ${algorithm}`, () =>
      Effect.gen(function* () {
        const bytes = Uint8Array.from({ length: 400 }, (_, index) => (index * 37) % 251)
        for (let cut = 0; cut <= 300; cut += 13) {
          const saved = yield* savedAfter(algorithm, bytes.subarray(0, cut))
          assert.strictEqual(saved.bytes, cut)
          const hash = found(yield* continued(algorithm, "s", structuredClone(saved), cut))
          assert.strictEqual(hash.digest(), digestOf(algorithm, bytes.subarray(0, cut)))
          hash.update(bytes.subarray(cut))
          assert.strictEqual(hash.digest(), digestOf(algorithm, bytes))
        }
      })
    )

    it.effect(`refuses a state that is not exactly its own: ${algorithm}`, () =>
      Effect.gen(function* () {
        const saved = yield* savedAfter(algorithm, Buffer.from("hello"))
        const other = yield* savedAfter(algorithm === "sha256" ? "sha512" : "sha256", Buffer.from("hello"))
        const foreign: Record<string, SavedHash | undefined> = {
          none: undefined,
          "of other bytes": { ...saved, bytes: 6 },
          "of fewer bytes, under this number": {
            ...(yield* savedAfter(algorithm, Buffer.from("hell"))),
            bytes: 5
          },
          "of another version": { ...saved, writtenBy: saved.writtenBy.replace("4.", "5.") },
          "of another algorithm": other,
          "of another algorithm, under this one's name": { ...other, writtenBy: saved.writtenBy },
          "cut short": { ...saved, state: saved.state.subarray(0, -1) },
          "too long": { ...saved, state: Buffer.concat([saved.state, Buffer.alloc(1)]) },
          empty: { ...saved, state: new Uint8Array() },
          zeroed: { ...saved, state: new Uint8Array(saved.state.length) },
          "of another build": {
            ...saved,
            state: saved.state.map((byte, at) => (at === 32 ? byte ^ 1 : byte))
          }
        }
        for (const [name, state] of Object.entries(foreign)) {
          assert.isNull(yield* continued(algorithm, "s", state, 5), name)
        }
        assert.isNull(yield* continued(algorithm, "of another session", saved, 5))
        assert.isNotNull(yield* continued(algorithm, "s", saved, 5))
      })
    )
  }

  it.effect("serves several uploads at once", () =>
    Effect.gen(function* () {
      const [one, two] = [found(yield* begun("sha256")), found(yield* begun("sha256"))]
      for (const piece of ["a", "b", "c"]) {
        one.update(Buffer.from(piece))
        two.update(Buffer.from(piece.toUpperCase()))
      }
      assert.strictEqual(one.digest(), digestOf("sha256", Buffer.from("abc")))
      assert.strictEqual(two.digest(), digestOf("sha256", Buffer.from("ABC")))
      one.update(Buffer.from("d"))
      assert.strictEqual(one.digest(), digestOf("sha256", Buffer.from("abcd")))
    })
  )
})
