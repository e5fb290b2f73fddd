/** What verbs of manifests cost where there are many: they find rows by index, in the order in which they want them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Arena, arena } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { plansOf } from "../../fixtures/database/Plans.ts"
import { digest, hour, now } from "../../fixtures/samples.ts"
import { child, config, layer, manifest } from "../../oci/database/contract/Manifests.ts"

/** Ten thousand manifests with two layers each, in a hundred repositories; one in five hundred is untagged. */
const many = Effect.fnUntraced(function* (a: Arena) {
  const fill = yield* a.session
  const digestOf = (n: string) => `'sha256:' || lpad(to_hex(${n}), 64, '0')`
  const from = "FROM generate_series(1, 10000) n"
  yield* fill(
    `INSERT INTO blobs SELECT ${digestOf("n")}, n, 1, to_timestamp($1), to_timestamp($1) FROM generate_series(1, 30000) n`,
    [now / 1000]
  )
  yield* fill(
    `INSERT INTO artifact_registry.manifests (repository, digest, media_type, size_bytes, subject, untagged_at)
     SELECT 'r' || n % 100, ${digestOf("n")}, 'm', 1, CASE WHEN n % 50 = 0 THEN ${digestOf("n - 100")} END,
       CASE WHEN n % 500 = 1 THEN to_timestamp($1) END ${from}`,
    [(now - hour) / 1000]
  )
  yield* fill(
    `INSERT INTO artifact_registry.manifest_references (repository, manifest, digest, kind)
     SELECT 'r' || n % 100, ${digestOf("n")}, ${digestOf("10000 + n + 10000 * b")}, 'layer'
     ${from}, generate_series(0, 1) b`
  )
  yield* fill(
    `INSERT INTO artifact_registry.tags (repository, name, digest, pushed_at)
     SELECT 'r' || n % 100, 't' || n, ${digestOf("n")}, to_timestamp($1 - n) ${from} WHERE n % 500 <> 1`,
    [now / 1000]
  )
  yield* fill(
    "ANALYZE blobs, artifact_registry.manifests, artifact_registry.manifest_references, artifact_registry.tags"
  )
})

export const manifestPlans = (server: Server): void => {
  describe("of ten thousand manifests", () => {
    it.live("no verb reads them all, and the expiry reads candidates in the order of their index", () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* many(a)
        const { manifests, retention } = a.database
        const image = manifest(20_001, { repository: "r7", subject: digest(107) })
        const index = manifest(20_002, { repository: "r7" })
        const steps = [
          manifests.put(now, image, [config(11_000), layer(11_001), layer(11_002)], {
            tags: ["t107", "new"]
          }),
          manifests.put(now, index, [child(207), child(20_001)], { tags: ["t207"] }),
          manifests.find("r7", { _tag: "Tag", tag: "t307" }),
          manifests.find("r7", { _tag: "Digest", digest: digest(307) }),
          manifests.touch(now, "r7", digest(307)),
          manifests.untag(now, "r7", "t307"),
          manifests.tags("r7", "t4", 10),
          manifests.repositories("r7", 10),
          manifests.referrers("r50", digest(150), null, digest(1), 10),
          manifests.blob("r7", digest(10_307)),
          manifests.delete(now, "r7", digest(407)),
          manifests.untagged(now - hour),
          manifests.expire(now, now - hour, 10),
          retention.pushes(now - 100_000),
          retention.tags(["r7", "r8"], { repository: "r7", name: "t5" }, 10),
          retention.listed([{ repository: "r7", digest: digest(107) }]),
          retention.untag(now, "r8", yield* retention.tags(["r8"], null, 5)),
          retention.record(
            now,
            [
              { repository: "r7", name: { _tag: "Tag", tag: "t507" }, at: now },
              { repository: "r7", name: { _tag: "Digest", digest: digest(507) }, at: now }
            ],
            { everyMillis: 1, isComplete: true }
          )
        ]
        const plans = yield* plansOf(
          "artifact_registry",
          Effect.forEach(steps, (step) => Effect.asVoid(step as Effect.Effect<unknown, unknown>))
        )
        assert.isAbove(plans.length, steps.length)
        for (const plan of plans) assert.notMatch(plan, /Seq Scan on (manifests|manifest_references|tags)/)
        const candidates = plans.filter((plan) => /LIMIT \$\d+ FOR UPDATE SKIP LOCKED/.test(plan))
        assert.lengthOf(candidates, 1)
        assert.match(candidates.join(), /Index Scan using manifests_untagged/)
        assert.notMatch(candidates.join(), /Sort/)
        assert.lengthOf((yield* a.tables.rows).manifests, 10_000 + 2 - 1 - 10)
      })
    )
  })
}
