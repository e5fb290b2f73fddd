/** skopeo: pushes from a docker archive and from an OCI layout, copies of indexes, and pulls by every way. */
import assert from "node:assert/strict"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import type { Context } from "./Context.ts"
import {
  digestOf,
  hexOf,
  type Image,
  type Manifest,
  makeImage,
  makeIndex,
  makeLayer,
  type Pushable,
  writeDockerArchive,
  writeLayout
} from "./Images.ts"
import { ask, named, tagsOf } from "./Registry.ts"
import type { Suite } from "./Report.ts"

/** Bytes by digest. */
type Pulled = ReadonlyMap<string, Buffer>

export interface Skopeo {
  readonly run: (...args: ReadonlyArray<string>) => Promise<string>
  /** Pushes, pulls, and copies within the registry. */
  readonly copy: (from: string, to: string, ...flags: ReadonlyArray<string>) => Promise<string>
  /** Pulls `source` and returns what was received, manifests and blobs. */
  readonly pull: (source: string) => Promise<Pulled>
}

/** Returns skopeo, run in the context's folder. */
export const skopeo = ({ group, tools, folder }: Context): Skopeo => {
  const run: Skopeo["run"] = (...args) =>
    group.run(tools.skopeo, ["--policy", tools.policy, ...args], { env: tools.env, cwd: folder })
  const copy: Skopeo["copy"] = (from, to, ...flags) =>
    run("copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", ...flags, from, to)
  const pull: Skopeo["pull"] = async (source) => {
    const target = mkdtempSync(join(folder, "pulled-"))
    try {
      await copy(`docker://${source}`, `dir:${target}`, "--all")
      const files = new Map<string, Buffer>()
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

/** Asserts that what was pulled is what was pushed: all of it, nothing else, and each byte. */
export const expectSame = (pulled: Pulled, image: Pushable): void => {
  const expected = new Map(image.blobs.map(({ digest, bytes }) => [digest, bytes]))
  assert.deepEqual([...pulled.keys()].sort(), [...expected.keys()].sort(), "the digests pulled")
  for (const [digest, bytes] of expected) assertBytes(pulled.get(digest), bytes, digest)
}

const assertBytes = (actual: Buffer | undefined, expected: Buffer, name: string): void =>
  assert.ok(actual !== undefined && expected.equals(actual), `the bytes of ${name}`)

/**
 * Asserts that a pulled image has the configuration and the layers of one that was pushed from a docker
 * archive, which has no gzip.
 */
export const expectUnpackedSame = (manifest: Manifest, pulled: Pulled, image: Image): void => {
  assert.equal(manifest.config.digest, image.config.digest, "the digest of the configuration")
  assertBytes(pulled.get(manifest.config.digest), image.config.bytes, "the configuration")
  assert.equal(manifest.layers.length, image.layers.length, "the number of layers")
  for (const [index, layer] of image.layers.entries()) {
    const digest = manifest.layers[index]?.digest ?? ""
    const bytes = pulled.get(digest) ?? Buffer.alloc(0)
    assert.equal(digestOf(bytes), digest, "the digest of a layer")
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b
    assertBytes(isGzip ? gunzipSync(bytes) : bytes, layer.tar, `layer ${index}`)
  }
}

const sizes = { small: 4 * 1024, middle: 300 * 1024, large: 3 * 1024 * 1024, huge: 20 * 1024 * 1024 }

/** The images of this file's checks. */
export interface Images {
  readonly single: Image
  readonly archived: Image
  readonly multi: Pushable
  /** Shares layers with images that are deleted, and outlives them. */
  readonly kept: Image
}

export const makeImages = (): Images => {
  const small = makeLayer("skopeo small", sizes.small)
  const middle = makeLayer("skopeo middle", sizes.middle)
  const large = makeLayer("skopeo large", sizes.large)
  const huge = makeLayer("skopeo huge", sizes.huge)
  return {
    single: makeImage("single", [small, middle, large, huge]),
    archived: makeImage("archived", [
      makeLayer("archive small", sizes.small),
      makeLayer("archive large", sizes.large)
    ]),
    multi: makeIndex(
      "multi",
      ["amd64", "arm64", "riscv64"].map((arch) =>
        makeImage(`multi ${arch}`, [small, makeLayer(`multi ${arch}`, sizes.middle)], arch)
      )
    ),
    kept: makeImage("kept", [small, makeLayer("kept", sizes.middle), huge])
  }
}

const isJson = (bytes: Buffer): boolean => bytes[0] === 0x7b

export const suite =
  (images: Images) =>
  (context: Context): Suite => {
    const { folder, registry, repositories, kept } = context
    const { copy, pull, run } = skopeo(context)
    const layout = (name: string, image: Pushable) =>
      `oci:${writeLayout(join(folder, `layout-${name}`), image)}:image`
    const remote = (repository: string, tag: string, url = registry.url) => {
      repositories.add(repository)
      return named(url, repository, tag)
    }
    const pushes = [
      {
        name: "skopeo pushes an image of four layers, one of 20 MiB, from an OCI layout",
        run: async () => {
          await copy(layout("single", images.single), `docker://${remote("skopeo/app", "1.0")}`)
          await copy(layout("kept", kept.image), `docker://${remote(kept.repository, kept.tag)}`)
        }
      },
      {
        name: "skopeo pushes an image from a docker archive",
        run: () => {
          const archive = writeDockerArchive(join(folder, "archive.tar"), images.archived, "archived:1")
          return copy(`docker-archive:${archive}`, `docker://${remote("skopeo/app", "archived")}`)
        }
      },
      {
        name: "skopeo pushes an index with the images of three architectures (--all)",
        run: () => copy(layout("multi", images.multi), `docker://${remote("skopeo/multi", "1.0")}`, "--all")
      },
      {
        name: "skopeo copies the index from one repository to another (--all)",
        run: () =>
          copy(
            `docker://${remote("skopeo/multi", "1.0")}`,
            `docker://${remote("skopeo/copy", "2.0")}`,
            "--all"
          )
      }
    ]
    const pulls = registry.ways.map(({ name, url }) => ({
      name: `skopeo pulls everything back, each byte, through the ${name}`,
      run: async () => {
        expectSame(await pull(remote("skopeo/app", "1.0", url)), images.single)
        expectSame(await pull(remote(kept.repository, kept.tag, url)), kept.image)
        expectSame(await pull(remote("skopeo/multi", "1.0", url)), images.multi)
        expectSame(await pull(remote("skopeo/copy", "2.0", url)), images.multi)
        const pulled = await pull(remote("skopeo/app", "archived", url))
        const manifest = [...pulled.values()]
          .filter(isJson)
          .map((bytes) => JSON.parse(bytes.toString()) as Partial<Manifest>)
          .find((each): each is Manifest => each.layers !== undefined)
        assert.ok(manifest, "a manifest was pulled")
        expectUnpackedSame(manifest, pulled, images.archived)
      }
    }))
    const questions = [
      {
        name: "the list of tags is right by every way, to skopeo and to a request",
        run: async () => {
          for (const { url } of registry.ways) {
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
      },
      {
        name: "a HEAD of each blob tells its size by every way",
        run: async () => {
          for (const { url } of registry.ways) {
            for (const { digest, size } of images.single.layers) {
              const answer = await ask(`${url}/v2/skopeo/app/blobs/${digest}`, { method: "HEAD" })
              assert.equal(answer.headers.get("content-length"), String(size), hexOf(digest))
            }
          }
        }
      }
    ]
    return { checks: [...pushes, ...pulls, ...questions] }
  }
