/** regctl, of regclient: chunked pushes, referrers, SHA-512, mounts and the deletion of tags. */
import assert from "node:assert/strict"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Command, command, digestsOf, expectLayout, homeOf, mountsOf } from "./Command.ts"
import type { Context } from "./Context.ts"
import { refused, user } from "./Guarded.ts"
import { makeImage, makeIndex, makeLayer, writeLayout } from "./Images.ts"
import { type LoginClient, loginChecks } from "./Logins.ts"
import { named } from "./Registry.ts"
import type { Check, Suite } from "./Report.ts"

const small = makeLayer("regctl small", 4 * 1024)

const multi = makeIndex(
  "regctl multi",
  ["amd64", "arm64"].map((arch) =>
    makeImage(`regctl ${arch}`, [small, makeLayer(`regctl ${arch}`, 700_000)], arch)
  )
)

const attestation = "application/vnd.example.attestation"

const regctlOf = (context: Context): Command =>
  command(context, "regctl", { REGCTL_CONFIG: join(homeOf(context, "regctl"), "config.json") })

/** Tells regctl to use http, and chunks of 200,000 bytes for blobs above 400,000. */
const introduce = (regctl: Command, host: string): Promise<string> =>
  regctl(
    ...["registry", "set", "--skip-check", "--tls", "disabled"],
    ...["--blob-chunk", "200000", "--blob-max", "400000", host]
  )

const subject = { repository: "regctl/app", tag: "1" }

const expectAttested = async (regctl: Command, reference: string): Promise<void> => {
  const listed = await regctl("artifact", "list", "--format", "{{json .}}", reference)
  assert.match(listed, new RegExp(attestation.replaceAll(".", "\\.")))
}

/** What must hold after many sweeps. */
export const lasting = (context: Context): ReadonlyArray<Check> => [
  {
    name: "regctl finds what it attached, although no tag names it",
    run: () => expectAttested(regctlOf(context), named(context.registry.url, subject.repository, subject.tag))
  }
]

const images = (context: Context, regctl: Command): ReadonlyArray<Check> => {
  const { registry, repositories } = context
  const home = homeOf(context, "regctl")
  const host = new URL(registry.url).host
  const app = `${host}/${subject.repository}:${subject.tag}`
  for (const name of ["app", "copied", "512"]) repositories.add(`regctl/${name}`)
  return [
    {
      name: "regctl pushes an index of two architectures in chunks from an OCI layout",
      run: async () => {
        const before = registry.balancer.moves().moved
        await regctl("image", "copy", `ocidir://${writeLayout(join(home, "multi"), multi)}:image`, app)
        const moved = registry.balancer.moves().moved - before
        assert.ok(moved > 8, `${moved} requests of sessions at the other replica`)
      }
    },
    ...registry.ways.map(({ name, url }, index) => ({
      name: `regctl pulls it, each byte, through the ${name}`,
      run: async () => {
        const pulled = join(home, `pulled-${index}`)
        await regctl("image", "copy", named(url, subject.repository, subject.tag), `ocidir://${pulled}:image`)
        expectLayout(pulled, multi)
      }
    })),
    {
      name: "regctl attaches an artifact, and copies all to another repository, with mounts",
      run: async () => {
        writeFileSync(join(home, "attestation"), "attested")
        const flags = ["--artifact-type", attestation, "--subject", app]
        await regctl("artifact", "put", ...flags, "--file", "attestation")
        await expectAttested(regctl, app)
        const copied = `${host}/regctl/copied:1`
        const copy = () => regctl("image", "copy", "--referrers", "--digest-tags", app, copied)
        const mounts = await mountsOf(context, copy)
        await expectAttested(regctl, copied)
        assert.ok(mounts >= 5, `${mounts} mounts`)
        return `${mounts} mounts`
      }
    },
    {
      name: "regctl makes the image again with SHA-512 digests, and pulls it, each byte, by every way",
      run: async () => {
        await regctl("image", "copy", app, `${host}/regctl/512:from`)
        const made = `${host}/regctl/512:1`
        await regctl("image", "mod", "--digest-algo", "sha512", "--create", made, `${host}/regctl/512:from`)
        for (const [index, { url }] of registry.ways.entries()) {
          const pulled = join(home, `512-${index}`)
          await regctl("image", "copy", named(url, "regctl/512", "1"), `ocidir://${pulled}:image`)
          const digests = digestsOf(pulled)
          assert.ok(digests.filter((digest) => digest.startsWith("sha512:")).length >= 8, digests.join())
        }
      }
    }
  ]
}

const questions = (context: Context, regctl: Command): ReadonlyArray<Check> => {
  const { registry, repositories } = context
  const host = new URL(registry.url).host
  for (const name of ["blobs", "mounted", "made"]) repositories.add(`regctl/${name}`)
  return [
    {
      name: "regctl makes an index, lists tags and repositories, and deletes a tag",
      run: async () => {
        const made = `${host}/regctl/made:index`
        await regctl("index", "create", made, "--ref", `${host}/regctl/copied:1`, "--platform", "linux/amd64")
        await regctl("image", "copy", made, `${host}/regctl/made:other`)
        assert.equal((await regctl("tag", "ls", `${host}/regctl/made`)).trim(), "index\nother")
        assert.match(await regctl("repo", "ls", host), /^regctl\/made$/m)
        await regctl("tag", "delete", `${host}/regctl/made:other`)
        assert.equal((await regctl("tag", "ls", `${host}/regctl/made`)).trim(), "index")
        await regctl("manifest", "head", made)
      }
    },
    {
      name: "regctl mounts a blob from another repository, and deletes it",
      run: async () => {
        const mount = () =>
          regctl("blob", "copy", `${host}/regctl/app`, `${host}/regctl/mounted`, small.digest)
        assert.equal(await mountsOf(context, mount), 1)
        await regctl("blob", "head", `${host}/regctl/mounted`, small.digest)
        await regctl("blob", "delete", `${host}/regctl/mounted`, small.digest)
        await refused(() => regctl("blob", "head", `${host}/regctl/mounted`, small.digest), /not found/i)
        await regctl("blob", "head", `${host}/regctl/app`, small.digest)
      }
    }
  ]
}

export const suite = (context: Context): Suite => {
  const regctl = regctlOf(context)
  const home = homeOf(context, "regctl")
  writeFileSync(join(home, "file"), makeLayer("regctl login", 4_000).bytes)
  const client: LoginClient = {
    name: "regctl",
    login: async (host, password) => {
      await introduce(regctl, host)
      await regctl("registry", "login", "-u", user.name, "-p", password, host)
    },
    logout: (host) => regctl("registry", "logout", host),
    // Before its next request regctl waits twice as long after each 403, so a whole image takes it a minute.
    push: (host, repository) =>
      regctl("artifact", "put", "--artifact-type", attestation, "-f", "file", `${host}/${repository}:1`),
    pull: (host, repository) => regctl("artifact", "get", `${host}/${repository}:1`)
  }
  return {
    prepare: async () => {
      for (const { url } of context.registry.ways) await introduce(regctl, new URL(url).host)
    },
    checks: [...images(context, regctl), ...questions(context, regctl), ...loginChecks(client, context)]
  }
}
