/** Users, rules and tokens, as clients meet them: a replica that issues tokens, on the same catalogue and store. */
import assert from "node:assert/strict"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { hash } from "bcryptjs"
import type { Group } from "../../../tools/servers/Processes.ts"
import type { Found } from "../../../tools/servers/Servers.ts"
import { type Replica, startReplica } from "../Replicas.ts"
import type { Context } from "./Context.ts"
import { makeImage, makeLayer, writeDockerArchive } from "./Images.ts"
import { named, settings } from "./Registry.ts"
import type { Suite } from "./Report.ts"
import { skopeo } from "./Skopeo.ts"

/** A user who may push to `team`, with a password that has what passwords have. */
export const user = { name: "ci", password: "pass: wörd" }

const rules = `
anonymous  pull       public/**
ci         pull,push  team/** public/**
`

/** Starts the replica. It collects nothing, because the others do. */
export const startGuarded = async (group: Group, servers: Found, folder: string): Promise<Replica> => {
  const users = join(folder, "users")
  const access = join(folder, "access")
  writeFileSync(users, `${user.name}:${await hash(user.password, 10)}\n`)
  writeFileSync(access, rules)
  return await startReplica(group, servers, "guarded", {
    settings: (url) => ({
      ...settings,
      REGISTRY_HTPASSWD: users,
      REGISTRY_ACCESS: access,
      REGISTRY_URL: url
    }),
    flags: ["--no-collect"]
  })
}

/** Asserts that a command fails, and says what it must. */
export const refused = async (run: () => Promise<unknown>, words: RegExp): Promise<void> => {
  const message = await run().then(
    () => null,
    (error: unknown) => String(error)
  )
  assert.ok(message !== null, "the command succeeded")
  assert.match(message, words)
}

/** Images of the checks, in repositories that everybody may read, that users may, and that nobody may. */
export const images = {
  open: makeImage("access open", [makeLayer("access 4096", 4096)]),
  team: makeImage("access team", [makeLayer("access 8192", 8192)])
}

export const suite = (context: Context): Suite => {
  const { folder, guarded, repositories } = context
  const { copy, pull, run } = skopeo(context)
  const host = new URL(guarded).host
  const credentials = `${user.name}:${user.password}`
  const archive = (name: keyof typeof images) =>
    `docker-archive:${writeDockerArchive(join(folder, `access-${name}.tar`), images[name], named(guarded, "x", "1"))}`
  const push = (name: keyof typeof images, repository: string, ...flags: ReadonlyArray<string>) =>
    copy(archive(name), `docker://${named(guarded, repository, "1")}`, ...flags)
  return {
    prepare: () => {
      for (const each of ["public/skopeo", "team/skopeo"]) repositories.add(each)
      return Promise.resolve()
    },
    checks: [
      {
        name: "skopeo is refused at login with a wrong password, although clients without one may pull",
        run: () =>
          refused(
            () => run("login", "--tls-verify=false", "--username", user.name, "--password", "wrong", host),
            /invalid username\/password|unauthorized/
          )
      },
      {
        name: "skopeo logs in with the right password, pushes where it may, and is refused elsewhere",
        run: async () => {
          await push("team", "team/skopeo", "--dest-creds", credentials)
          await push("open", "public/skopeo", "--dest-creds", credentials)
          await refused(() => push("team", "other/skopeo", "--dest-creds", credentials), /403|may not|denied/)
        }
      },
      {
        name: "skopeo pulls without credentials what all may read, and nothing else",
        run: async () => {
          await pull(named(guarded, "public/skopeo", "1"))
          await refused(
            () => pull(named(guarded, "team/skopeo", "1")),
            /unauthorized|authentication required|needs credentials/
          )
          await refused(
            () => push("open", "public/skopeo"),
            /unauthorized|authentication required|needs credentials/
          )
        }
      }
    ]
  }
}
