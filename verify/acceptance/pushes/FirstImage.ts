/** The first image of a registry: until there is one, nothing is purged without a person's word. */
import type { Check } from "../clients/Report.ts"
import { ask, expected } from "./Answer.ts"
import type { World } from "./World.ts"

const mediaType = "application/vnd.oci.image.index.v1+json"
const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] }))

/** Returns the check to make first. Without it, the breaker of a registry that never had a reference would open. */
export const firstImage = (world: World): ReadonlyArray<Check> => [
  {
    name: "a first image is pushed and deleted, so that the registry is known to have references",
    run: async () => {
      const at = (reference: string) => world.at(`/v2/first/manifests/${reference}`)
      const put = await ask(at("v1"), "PUT", { body: index, headers: { "content-type": mediaType } })
      const digest = String(expected(put, 201).headers["docker-content-digest"])
      expected(await ask(at(digest), "DELETE"), 202)
      return undefined
    }
  }
]
