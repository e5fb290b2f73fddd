/** skopeo: pushes from a docker archive and from an OCI layout, copies of indexes, and pulls by every way. */
import assert from "node:assert/strict"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import {
  digestOf,
  hexOf,
  makeImage,
  makeIndex,
  makeLayer,
  writeDockerArchive,
  writeLayout
} from "./images.mjs"
import { ask, named, tagsOf } from "./registry.mjs"

/** Runs skopeo; `copy` pushes, pulls and copies within the registry. */
export const skopeo = ({ group, tools, folder }) => {
  const run = (...args) =>
    group.run(tools.skopeo, ["--policy", tools.policy, ...args], { env: tools.env, cwd: folder })
  const copy = (from, to, ...flags) =>
    run("copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", ...flags, from, to)

  /** Pulls `source` and answers what came: the manifests and the blobs, by digest. */
  const pull = async (source) => {
    const target = mkdtempSync(join(folder, "pulled-"))
    try {
      await copy(`docker://${source}`, `dir:${target}`, "--all")
      const files = new Map()
      for (const name of readdirSync(target).filter((each) => each !== "version")) {
        const bytes = readFileSync(join(target, name))
        files.set(digestOf(bytes), bytes)
        const hex = name.replace(".manifest.json", "")
        if (name !== "manifest.json")
          assert.equal(digestOf(bytes), `sha256:${hex}`, "the digest of a pulled file")
      }
      return files
    } finally {
      rmSync(target, { recursive: true, force: true })
    }
  }
  return { run, copy, pull }
}

/** That what was pulled is what was pushed: all of it, nothing else, and each byte. */
export const expectSame = (pulled, image) => {
  const expected = new Map(image.blobs.map(({ digest, bytes }) => [digest, bytes]))
  assert.deepEqual([...pulled.keys()].sort(), [...expected.keys()].sort(), "the digests pulled")
  for (const [digest, bytes] of expected)
    assert.ok(bytes.equals(pulled.get(digest)), `the bytes of ${digest}`)
}

/** That a pulled image has the configuration and the layers of one that went through a docker archive, which has no gzip. */
export const expectUnpackedSame = (manifest, bytesOfDigest, image) => {
  assert.equal(manifest.config.digest, image.config.digest, "the digest of the configuration")
  assert.ok(
    image.config.bytes.equals(bytesOfDigest(manifest.config.digest)),
    "the bytes of the configuration"
  )
  assert.equal(manifest.layers.length, image.layers.length, "the number of layers")
  for (const [index, { digest }] of manifest.layers.entries()) {
    const bytes = bytesOfDigest(digest)
    assert.equal(digestOf(bytes), digest, "the digest of a layer")
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b
    assert.ok(
      image.layers[index].tar.equals(isGzip ? gunzipSync(bytes) : bytes),
      `the bytes of layer ${index}`
    )
  }
}

const sizes = { small: 4 * 1024, middle: 300 * 1024, large: 3 * 1024 * 1024, huge: 20 * 1024 * 1024 }

/** The images of this file's checks, and the one that outlives all others. */
const makeImages = () => {
  const layers = Object.fromEntries(
    Object.entries(sizes).map(([name, size]) => [name, makeLayer(`skopeo ${name}`, size)])
  )
  const single = makeImage("single", [layers.small, layers.middle, layers.large, layers.huge])
  const archived = makeImage("archived", [
    makeLayer("archive small", sizes.small),
    makeLayer("archive large", sizes.large)
  ])
  const multi = makeIndex(
    "multi",
    ["amd64", "arm64", "riscv64"].map((arch) =>
      makeImage(`multi ${arch}`, [layers.small, makeLayer(`multi ${arch}`, sizes.middle)], { arch })
    )
  )
  // Shares layers with images that will go.
  const kept = makeImage("kept", [layers.small, makeLayer("kept", sizes.middle), layers.huge])
  return { single, archived, multi, kept }
}

export const suite = (context) => {
  const { folder, registry, repositories } = context
  const images = makeImages()
  const { copy, pull, run } = skopeo(context)
  const through = registry.balancer.url
  const layout = (name) => `oci:${writeLayout(join(folder, `layout-${name}`), images[name])}:image`
  const remote = (repository, tag, url = through) => {
    repositories.add(repository)
    return named(url, repository, tag)
  }
  context.kept = { repository: "skopeo/kept", tag: "last", image: images.kept }
  const checks = [
    [
      "skopeo pushes an image of four layers, one of 20 MiB, from an OCI layout",
      async () => {
        await copy(layout("single"), `docker://${remote("skopeo/app", "1.0")}`)
        await copy(layout("kept"), `docker://${remote("skopeo/kept", "last")}`)
      }
    ],
    [
      "skopeo pushes an image from a docker archive",
      async () => {
        const archive = writeDockerArchive(join(folder, "archive.tar"), images.archived, "archived:1")
        await copy(`docker-archive:${archive}`, `docker://${remote("skopeo/app", "archived")}`)
      }
    ],
    [
      "skopeo pushes an index with the images of three architectures (--all)",
      () => copy(layout("multi"), `docker://${remote("skopeo/multi", "1.0")}`, "--all")
    ],
    [
      "skopeo copies the index from one repository to another (--all)",
      () =>
        copy(`docker://${remote("skopeo/multi", "1.0")}`, `docker://${remote("skopeo/copy", "2.0")}`, "--all")
    ],
    ...Object.entries(registry.ways).map(([way, url]) => [
      `skopeo pulls everything back, each byte, through the ${way}`,
      async () => {
        expectSame(await pull(remote("skopeo/app", "1.0", url)), images.single)
        expectSame(await pull(remote("skopeo/kept", "last", url)), images.kept)
        expectSame(await pull(remote("skopeo/multi", "1.0", url)), images.multi)
        expectSame(await pull(remote("skopeo/copy", "2.0", url)), images.multi)
        const pulled = await pull(remote("skopeo/app", "archived", url))
        const manifest = [...pulled.values()]
          .filter((bytes) => bytes[0] === 0x7b)
          .map((bytes) => JSON.parse(bytes))
          .find(({ layers }) => layers)
        expectUnpackedSame(manifest, (digest) => pulled.get(digest), images.archived)
      }
    ]),
    [
      "the list of tags is right by every way, to skopeo and to a request",
      async () => {
        for (const url of Object.values(registry.ways)) {
          assert.deepEqual(await tagsOf(url, "skopeo/app"), ["1.0", "archived"])
          assert.deepEqual(await tagsOf(url, "skopeo/multi"), ["1.0"])
          const listed = await run(
            "list-tags",
            "--tls-verify=false",
            `docker://${new URL(url).host}/skopeo/app`
          )
          assert.deepEqual(JSON.parse(listed).Tags, ["1.0", "archived"])
        }
      }
    ],
    [
      "a HEAD of each blob tells its size by every way",
      async () => {
        for (const url of Object.values(registry.ways)) {
          for (const { digest, size } of images.single.layers) {
            const answer = await ask(`${url}/v2/skopeo/app/blobs/${digest}`, { method: "HEAD" })
            assert.equal(answer.headers.get("content-length"), String(size), hexOf(digest))
          }
        }
      }
    ]
  ]
  return { checks }
}
