/**
 * cosign with a key of its own: signatures and attestations as referrers, and in tags as older versions write them. No
 * signature is sent to a log.
 */
import assert from "node:assert/strict"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Command, command, homeOf } from "./Command.ts"
import type { Context } from "./Context.ts"
import { refused, user } from "./Guarded.ts"
import { makeImage, makeIndex, makeLayer, writeLayout } from "./Images.ts"
import { type LoginClient, loginChecks } from "./Logins.ts"
import { tagsOf } from "./Registry.ts"
import type { Check, Suite } from "./Report.ts"
import { skopeo } from "./Skopeo.ts"

const multi = makeIndex(
  "cosign",
  ["amd64", "arm64"].map((arch) => makeImage(`cosign ${arch}`, [makeLayer(`cosign ${arch}`, 50_000)], arch))
)

const { digest } = multi.manifest

/** The tag in which older versions keep what belongs to a digest. */
const tagOf = (kind: "sig" | "att"): string => `${digest.replace(":", "-")}.${kind}`

const cosignOf = (context: Context): Command =>
  command(context, "cosign", { COSIGN_PASSWORD: "secret", COSIGN_YES: "true" })

/** Neither a log nor a service of keys can be asked. */
const offline = ["--allow-http-registry", "--tlog-upload=false", "--use-signing-config=false"]

const formats = {
  referrers: { repository: "cosign/referrers", flags: [] },
  tags: { repository: "cosign/tags", flags: ["--new-bundle-format=false"] }
} as const

type Format = keyof typeof formats

const imageOf = ({ registry }: Context, format: Format): string =>
  `${new URL(registry.url).host}/${formats[format].repository}@${digest}`

/** Verifies signature and attestation. */
const verify = async (context: Context, format: Format, key = "cosign.pub"): Promise<void> => {
  const cosign = cosignOf(context)
  const flags = ["--key", key, "--allow-http-registry", "--private-infrastructure", ...formats[format].flags]
  await cosign("verify", ...flags, imageOf(context, format))
  await cosign("verify-attestation", "--type", "custom", ...flags, imageOf(context, format))
}

const formatNames: ReadonlyArray<Format> = ["referrers", "tags"]

/** What must hold after many sweeps. */
export const lasting = (context: Context): ReadonlyArray<Check> =>
  formatNames.map((format) => ({
    name: `cosign still verifies signatures and attestations (${format})`,
    run: () => verify(context, format)
  }))

const signing = (context: Context, cosign: Command, format: Format): ReadonlyArray<Check> => {
  const { registry, repositories } = context
  const { flags, repository } = formats[format]
  repositories.add(repository)
  const image = imageOf(context, format)
  const sign = (key: string) => cosign("sign", "--key", key, "--recursive", ...offline, ...flags, image)
  return [
    {
      name: `cosign signs an index with its images, and attests (${format})`,
      run: async () => {
        const layout = writeLayout(join(homeOf(context, "cosign"), format), multi)
        await skopeo(context).copy(`oci:${layout}:image`, `docker://${image.replace(/@.*/, ":1")}`, "--all")
        await sign("cosign.key")
        const predicate = ["--predicate", "predicate.json", "--type", "custom"]
        await cosign("attest", "--key", "cosign.key", ...predicate, ...offline, ...flags, image)
        const tags = await tagsOf(registry.url, repository)
        const expected = format === "tags" ? [tagOf("att"), tagOf("sig")] : []
        const own = tags?.filter((tag) => tag.startsWith(digest.replace(":", "-"))) ?? []
        assert.deepEqual([...own].sort(), expected)
      }
    },
    {
      name: `cosign verifies both, and refuses another key (${format})`,
      run: async () => {
        await verify(context, format)
        await refused(
          () => verify(context, format, "other.pub"),
          /no matching|invalid signature|failed to verify/
        )
        assert.match(
          await cosign("tree", "--allow-http-registry", image),
          /artifacts via OCI referrer|Signatures/
        )
      }
    }
  ]
}

export const suite = (context: Context): Suite => {
  const cosign = cosignOf(context)
  const { registry, repositories } = context
  const home = homeOf(context, "cosign")
  const client: LoginClient = {
    name: "cosign",
    asksAtLogin: false,
    login: (host, password) => cosign("login", host, "-u", user.name, "-p", password),
    // cosign has no logout.
    logout: async () => rmSync(join(home, "docker"), { recursive: true, force: true }),
    push: (host, repository) =>
      cosign("upload", "blob", "--allow-http-registry", "-f", "predicate.json", `${host}/${repository}:1`),
    pull: (host, repository) =>
      cosign("save", "--allow-http-registry", "--dir", "logged-in", `${host}/${repository}:1`)
  }
  repositories.add("cosign/copied")
  return {
    prepare: async () => {
      writeFileSync(join(home, "predicate.json"), `{"built":true}`)
      for (const name of ["cosign", "other"]) await cosign("generate-key-pair", "--output-key-prefix", name)
    },
    checks: [
      ...formatNames.flatMap((format) => signing(context, cosign, format)),
      {
        name: "cosign copies an image with its signatures, and verifies the copy",
        run: async () => {
          const copied = `${new URL(registry.url).host}/cosign/copied:1`
          await cosign("copy", "--allow-http-registry", imageOf(context, "tags"), copied)
          const flags = ["--key", "cosign.pub", "--allow-http-registry", "--private-infrastructure"]
          await cosign("verify", ...flags, "--new-bundle-format=false", copied)
        }
      },
      ...loginChecks(client, context)
    ]
  }
}
