import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { commands, shortWaits } from "../../src/cli/serve/Try.ts"
import { type Environment, own, read } from "../config/reading.ts"

const said = (environment: Environment, url = "http://127.0.0.1:5000", isCollecting = true) =>
  Effect.map(read(environment), (config) => commands(config, url, isCollecting))

describe("the commands to try", () => {
  it.effect("push an image, pull it, delete its tag, and say when its space is free", () =>
    Effect.gen(function* () {
      assert.include(
        yield* said(shortWaits),
        `
  docker pull hello-world
  docker tag hello-world 127.0.0.1:5000/hello:1
  docker push 127.0.0.1:5000/hello:1
  docker pull 127.0.0.1:5000/hello:1
  curl -X DELETE http://127.0.0.1:5000/v2/hello/manifests/1   # its space is free within 1 min 23 s
  du -sh .artifact-gc/objects
`
      )
    })
  )

  it.effect("name an address that clients can reach, even if the server listens on all", () =>
    Effect.gen(function* () {
      assert.include(yield* said({}, "http://0.0.0.0:80"), "docker push 127.0.0.1/hello:1")
      assert.include(yield* said({}, "http://[::]:8080"), "docker push 127.0.0.1:8080/hello:1")
      assert.include(yield* said({}, "http://[::1]:8080"), "docker push [::1]:8080/hello:1")
    })
  )

  it.effect("log in if the registry asks for credentials, and never show a secret", () =>
    Effect.gen(function* () {
      const named = yield* said({ REGISTRY_USERNAME: "ci", REGISTRY_PASSWORD: "SECRET" })
      assert.include(named, "docker login 127.0.0.1:5000\n")
      assert.include(named, "curl -u 'ci' -X DELETE")
      const token = yield* said({ REGISTRY_TOKEN: "SECRET" })
      assert.include(token, "docker login 127.0.0.1:5000   # any name; the token is the password\n")
      assert.include(token, `curl -H "Authorization: Bearer $REGISTRY_TOKEN" -X DELETE`)
      assert.notInclude(named + token, "SECRET")
    })
  )

  it.effect("promise no free space if none is freed automatically", () =>
    Effect.gen(function* () {
      assert.notInclude(yield* said(shortWaits, "http://127.0.0.1:5000", false), "its space is free")
      assert.include(yield* said({ GC_UNTAGGED_GRACE: "none" }), "when the manifest is deleted too")
      assert.include(yield* said({ GC_CRON: "0 2 * * *" }), "after sweeps at the times of GC_CRON")
      assert.notInclude(yield* said(own), "du -sh")
    })
  )
})
