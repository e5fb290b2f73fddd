import { Effect } from "effect"
import type { Manifests } from "../Database.ts"
import type { State } from "./State.ts"

export const manifests = (_state: State): Manifests => ({
  put: () => Effect.die("not written yet"),
  find: () => Effect.die("not written yet"),
  touch: () => Effect.die("not written yet"),
  untag: () => Effect.die("not written yet"),
  delete: () => Effect.die("not written yet"),
  tags: () => Effect.die("not written yet"),
  repositories: () => Effect.die("not written yet"),
  referrers: () => Effect.die("not written yet"),
  blob: () => Effect.die("not written yet"),
  expire: () => Effect.die("not written yet"),
  untagged: () => Effect.die("not written yet")
})
