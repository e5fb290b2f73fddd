/** Users, rules and tokens, as skopeo meets them. */
import { join } from "node:path"
import type { Context } from "./Context.ts"
import { refused, user } from "./Guarded.ts"
import { makeImage, makeLayer, writeDockerArchive } from "./Images.ts"
import { type LoginClient, loginChecks, otherFlows } from "./Logins.ts"
import { named } from "./Registry.ts"
import type { Suite } from "./Report.ts"
import { skopeo } from "./Skopeo.ts"

/** Images of the checks, for repositories with and without anonymous pull. */
export const images = {
  open: makeImage("access open", [makeLayer("access 4096", 4096)]),
  team: makeImage("access team", [makeLayer("access 8192", 8192)])
}

export const suite = (context: Context): Suite => {
  const { folder, repositories } = context
  const { url: guarded } = context.guarded
  const { copy, pull, run } = skopeo(context)
  const host = new URL(guarded).host
  const credentials = `${user.name}:${user.password}`
  const archive = (name: keyof typeof images) =>
    `docker-archive:${writeDockerArchive(join(folder, `access-${name}.tar`), images[name], named(guarded, "x", "1"))}`
  const push = (name: keyof typeof images, repository: string, ...flags: ReadonlyArray<string>) =>
    copy(archive(name), `docker://${named(guarded, repository, "1")}`, ...flags)
  const login: LoginClient = {
    name: "skopeo",
    login: (at, password) =>
      run("login", "--tls-verify=false", "--username", user.name, "--password", password, at),
    logout: (at) => run("logout", at),
    push: (at, repository) => copy(archive("team"), `docker://${at}/${repository}:1`),
    pull: (at, repository) => pull(`${at}/${repository}:1`)
  }
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
      },
      ...loginChecks(login, context, otherFlows)
    ]
  }
}
