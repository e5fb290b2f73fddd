/** crane, of go-containerregistry: layouts, copies, images made in the registry, tags and deletion. */
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Command, command, expectLayout, homeOf, mountsOf } from "./Command.ts"
import type { Context } from "./Context.ts"
import { refused, user } from "./Guarded.ts"
import { makeImage, makeIndex, makeLayer, writeLayout } from "./Images.ts"
import { type LoginClient, loginChecks } from "./Logins.ts"
import { named } from "./Registry.ts"
import type { Check, Suite } from "./Report.ts"

const makeImages = () => {
  const small = makeLayer("crane small", 4 * 1024)
  const single = makeImage("crane", [small, makeLayer("crane large", 18 * 1024 * 1024)])
  const multi = makeIndex(
    "crane multi",
    ["amd64", "arm64"].map((arch) =>
      makeImage(`crane ${arch}`, [small, makeLayer(`crane ${arch}`, 90_000)], arch)
    )
  )
  return { single, multi, added: makeLayer("crane added", 50_000) }
}

/** Images that crane makes of others. */
const making = (
  context: Context,
  crane: Command,
  remote: (repository: string, tag: string) => string
): ReadonlyArray<Check> => {
  const home = homeOf(context, "crane")
  const { added } = makeImages()
  return [
    {
      name: "crane appends layers, labels, flattens, and joins images to an index",
      run: async () => {
        const layer = join(home, "added.tar")
        writeFileSync(layer, added.tar)
        const made = remote("crane/made", "1")
        await crane("append", "--oci-empty-base", "-f", layer, "-t", made)
        await crane("append", "-b", made, "-f", layer, "-t", remote("crane/made", "2"))
        await crane("mutate", made, "--label", "a=b", "--annotation", "c=d", "-t", remote("crane/made", "3"))
        await crane("flatten", remote("crane/made", "2"), "-t", remote("crane/made", "4"))
        const members = ["1", "2", "3", "4"].flatMap((tag) => ["-m", remote("crane/made", tag)])
        await crane("index", "append", ...members, "-t", remote("crane/made", "index"))
        await crane("validate", "--remote", remote("crane/made", "index"))
        for (const tag of ["1", "2", "3", "4"]) await crane("validate", "--remote", remote("crane/made", tag))
      }
    }
  ]
}

export const suite = (context: Context): Suite => {
  const { registry, repositories } = context
  const home = homeOf(context, "crane")
  const crane = command(context, "crane")
  const { single, multi } = makeImages()
  const layouts = {
    single: writeLayout(join(home, "single"), single),
    multi: writeLayout(join(home, "multi"), multi)
  }
  const remote = (repository: string, tag: string, url = registry.url) => {
    repositories.add(repository)
    return named(url, repository, tag)
  }
  const loginClient: LoginClient = {
    name: "crane",
    asksAtLogin: false,
    login: (host, password) => crane("auth", "login", "-u", user.name, "-p", password, host),
    logout: (host) => crane("auth", "logout", host),
    push: (host, repository) => crane("push", layouts.multi, `${host}/${repository}:1`),
    pull: (host, repository) => crane("validate", "--remote", `${host}/${repository}:1`)
  }
  const pulls: ReadonlyArray<Check> = registry.ways.map(({ name, url }, index) => ({
    name: `crane validates and pulls both, each byte, through the ${name}`,
    run: async () => {
      for (const [kind, image] of Object.entries({ single, multi })) {
        const reference = remote(`crane/${kind}`, "1", url)
        await crane("validate", "--remote", reference)
        await crane("pull", "--format=oci", reference, join(home, `${kind}-${index}`))
        expectLayout(join(home, `${kind}-${index}`), image)
      }
    }
  }))
  return {
    checks: [
      {
        name: "crane pushes an image and an index of two architectures from OCI layouts",
        run: async () => {
          await crane("push", layouts.single, remote("crane/single", "1"))
          await crane("push", layouts.multi, remote("crane/multi", "1"))
        }
      },
      ...pulls,
      {
        name: "crane copies the index to another repository, and mounts its blobs",
        run: async () => {
          const copied = remote("crane/copied", "1")
          const mounts = await mountsOf(context, () => crane("copy", remote("crane/multi", "1"), copied))
          await crane("validate", "--remote", copied)
          assert.equal((await crane("digest", copied)).trim(), multi.manifest.digest)
          assert.ok(mounts >= 5, `${mounts} mounts of 5 blobs`)
          return `${mounts} mounts`
        }
      },
      ...making(context, crane, remote),
      ...questions(context),
      ...loginChecks(loginClient, context)
    ]
  }
}

/** Lists, single blobs and deletion. */
const questions = ({ registry, ...context }: Context): ReadonlyArray<Check> => {
  const crane = command(context, "crane")
  const host = new URL(registry.url).host
  const { single } = makeImages()
  const blob = single.layers[0]
  return [
    {
      name: "crane lists tags and repositories, and reads a blob and a configuration",
      run: async () => {
        await crane("tag", `${host}/crane/single:1`, "second")
        assert.deepEqual((await crane("ls", `${host}/crane/single`)).split("\n"), ["1", "second", ""])
        assert.match(await crane("catalog", host), /^crane\/single$/m)
        const config = await crane("config", `${host}/crane/single:second`)
        assert.equal(
          `sha256:${createHash("sha256").update(config.trimEnd()).digest("hex")}`,
          single.config.digest
        )
        assert.ok((await crane("blob", `${host}/crane/single@${blob?.digest}`)).length > 0)
      }
    },
    {
      name: "crane deletes a tag, and then the manifest",
      run: async () => {
        const digest = (await crane("digest", `${host}/crane/copied:1`)).trim()
        await crane("delete", `${host}/crane/copied:1`)
        await refused(() => crane("digest", `${host}/crane/copied:1`), /MANIFEST_UNKNOWN|404/)
        await crane("digest", `${host}/crane/copied@${digest}`)
        await crane("delete", `${host}/crane/copied@${digest}`)
        await refused(() => crane("digest", `${host}/crane/copied@${digest}`), /MANIFEST_UNKNOWN|404/)
      }
    }
  ]
}
