/** oras: artifacts of any kind, what is attached to them, and copies of both. */
import assert from "node:assert/strict"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Command, command, expectLayout, homeOf, mountsOf } from "./Command.ts"
import type { Context } from "./Context.ts"
import { refused, user } from "./Guarded.ts"
import { makeImage, makeIndex, makeLayer, writeLayout } from "./Images.ts"
import { type LoginClient, loginChecks } from "./Logins.ts"
import { named } from "./Registry.ts"
import type { Check, Suite } from "./Report.ts"

const types = {
  app: "application/vnd.example.app",
  report: "application/vnd.example.report",
  signature: "application/vnd.example.signature"
}

const multi = makeIndex(
  "oras multi",
  ["amd64", "arm64"].map((arch) => makeImage(`oras ${arch}`, [makeLayer(`oras ${arch}`, 120_000)], arch))
)

interface Referrer {
  readonly reference: string
  readonly digest: string
  readonly artifactType: string
}

/** Returns what is attached to a reference. */
const discover = async (oras: Command, reference: string): Promise<ReadonlyArray<Referrer>> => {
  const answer = await oras("discover", "--plain-http", "--depth", "1", "--format", "json", reference)
  const { referrers } = JSON.parse(answer) as { readonly referrers: ReadonlyArray<Referrer> | null }
  return referrers ?? []
}

/** Asserts that a report is attached to an artifact, and a signature to the report. */
const expectAttached = async (oras: Command, reference: string): Promise<void> => {
  const [report, ...more] = await discover(oras, reference)
  assert.ok(report !== undefined && more.length === 0, `${more.length} more referrers`)
  assert.equal(report.artifactType, types.report)
  const signatures = await discover(oras, report.reference)
  assert.deepEqual(
    signatures.map(({ artifactType }) => artifactType),
    [types.signature]
  )
}

const attached = { repository: "oras/app", tag: "1" }

/** What must hold after many sweeps. */
export const lasting = (context: Context): ReadonlyArray<Check> => [
  {
    name: "oras finds what it attached, although no tag names it",
    run: () =>
      expectAttached(command(context, "oras"), named(context.registry.url, attached.repository, attached.tag))
  }
]

/** Artifacts and what is attached to them. */
const artifacts = (context: Context, oras: Command): ReadonlyArray<Check> => {
  const { registry, repositories } = context
  const home = homeOf(context, "oras")
  const app = named(registry.url, attached.repository, attached.tag)
  const copied = named(registry.url, "oras/copied", "1")
  for (const repository of ["oras/app", "oras/copied", "oras/restored"]) repositories.add(repository)
  const files = { "app.bin": makeLayer("oras app", 300_000).bytes, "read.me": Buffer.from("read me\n") }
  return [
    {
      name: "oras pushes an artifact of two files and pulls it, each byte",
      run: async () => {
        for (const [name, bytes] of Object.entries(files)) writeFileSync(join(home, name), bytes)
        const pushed = Object.keys(files).map((name) => `${name}:application/octet-stream`)
        await oras("push", "--plain-http", "--artifact-type", types.app, app, ...pushed)
        for (const { url } of registry.ways) {
          const reference = named(url, attached.repository, attached.tag)
          await oras("pull", "--plain-http", "-o", "pulled", reference)
          for (const [name, bytes] of Object.entries(files))
            assert.ok(bytes.equals(readFileSync(join(home, "pulled", name))), name)
        }
      }
    },
    {
      name: "oras attaches a report, and a signature to the report, and finds both by every way",
      run: async () => {
        for (const name of ["report.json", "signature"]) writeFileSync(join(home, name), `{"of":"${name}"}`)
        await oras("attach", "--plain-http", "--artifact-type", types.report, app, "report.json")
        const [report] = await discover(oras, app)
        assert.ok(report !== undefined)
        const subject = report.reference
        await oras("attach", "--plain-http", "--artifact-type", types.signature, subject, "signature")
        for (const { url } of registry.ways) await expectAttached(oras, named(url, "oras/app", "1"))
      }
    },
    {
      name: "oras copies all of it to another repository, and mounts its blobs",
      run: async () => {
        const mounts = await mountsOf(context, () =>
          oras("cp", "-r", "--from-plain-http", "--to-plain-http", app, copied)
        )
        await expectAttached(oras, copied)
        assert.ok(mounts > 0, "nothing was mounted")
        return `${mounts} mounts`
      }
    },
    {
      name: "oras backs all of it up and restores it to another repository",
      run: async () => {
        const restored = named(registry.url, "oras/restored", "1")
        await oras("backup", "--plain-http", "--include-referrers", "--output", "backup", app)
        await oras("restore", "--plain-http", "--input", "backup", restored)
        await expectAttached(oras, restored)
      }
    }
  ]
}

/** Indexes, tags, blobs and deletion. */
const images = (context: Context, oras: Command): ReadonlyArray<Check> => {
  const { registry, repositories } = context
  const home = homeOf(context, "oras")
  for (const repository of ["oras/multi", "oras/blobs"]) repositories.add(repository)
  const host = new URL(registry.url).host
  const reference = `${host}/oras/multi:1`
  return [
    {
      name: "oras pushes an index from an OCI layout and pulls it, each byte, by every way",
      run: async () => {
        const layout = writeLayout(join(home, "multi"), multi)
        await oras("cp", "--from-oci-layout", "--to-plain-http", `${layout}:image`, reference)
        for (const [index, { url }] of registry.ways.entries()) {
          const pulled = join(home, `multi-${index}`)
          const from = named(url, "oras/multi", "1")
          await oras("cp", "--from-plain-http", "--to-oci-layout", from, `${pulled}:image`)
          expectLayout(pulled, multi)
        }
      }
    },
    {
      name: "oras tags, makes an index of tags, resolves and lists",
      run: async () => {
        await oras("tag", "--plain-http", reference, "2")
        await oras("manifest", "index", "create", "--plain-http", `${host}/oras/multi:nested`, "1", "2")
        assert.equal((await oras("resolve", "--plain-http", reference)).trim(), multi.manifest.digest)
        const tags = await oras("repo", "tags", "--plain-http", `${host}/oras/multi`)
        assert.deepEqual(tags.trim().split("\n"), ["1", "2", "nested"])
        assert.match(await oras("repo", "ls", "--plain-http", host), /^oras\/multi$/m)
      }
    },
    {
      name: "oras pushes, reads and deletes a blob, and deletes a manifest",
      run: async () => {
        const { bytes, digest } = makeLayer("oras blob", 70_000)
        writeFileSync(join(home, "blob"), bytes)
        const at = `${host}/oras/blobs@${digest}`
        await oras("blob", "push", "--plain-http", at, "blob")
        await oras("blob", "fetch", "--plain-http", "--output", "fetched", at)
        assert.ok(bytes.equals(readFileSync(join(home, "fetched"))))
        await oras("blob", "delete", "--plain-http", "--force", at)
        await refused(() => oras("blob", "fetch", "--plain-http", "--output", "gone", at), /not found/)
        assert.ok(!existsSync(join(home, "gone")))
        await oras("manifest", "delete", "--plain-http", "--force", `${host}/oras/multi:nested`)
        await refused(() => oras("resolve", "--plain-http", `${host}/oras/multi:nested`), /not found/)
      }
    }
  ]
}

export const suite = (context: Context): Suite => {
  const oras = command(context, "oras")
  const home = homeOf(context, "oras")
  const layout = `${writeLayout(join(home, "login"), multi)}:image`
  const client: LoginClient = {
    name: "oras",
    login: (host, password) => oras("login", "--plain-http", "-u", user.name, "-p", password, host),
    logout: (host) => oras("logout", host),
    push: (host, repository) =>
      oras("cp", "--from-oci-layout", "--to-plain-http", layout, `${host}/${repository}:1`),
    pull: (host, repository) =>
      oras("cp", "--from-plain-http", "--to-oci-layout", `${host}/${repository}:1`, "logged-in:image")
  }
  return {
    checks: [...artifacts(context, oras), ...images(context, oras), ...loginChecks(client, context)]
  }
}
