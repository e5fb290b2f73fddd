/**
 * containerd and its `ctr`, which pulls and pushes as Kubernetes' nodes do. Pulls are made by a second
 * containerd: the first has the bytes already and would not ask for them.
 */
import assert from "node:assert/strict"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { until } from "../../../tools/servers/Processes.ts"
import type { Context } from "./Context.ts"
import {
  type Blob,
  hexOf,
  type Image,
  makeImage,
  makeIndex,
  makeLayer,
  type Pushable,
  writeLayoutArchive
} from "./Images.ts"
import { named } from "./Registry.ts"
import { Skipped, type Suite } from "./Report.ts"

/** Plugins that need more than folders of their own, or write elsewhere: CRI, /opt, other file systems. */
const disabled = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
  ...["aufs", "btrfs", "devmapper", "zfs"].map((name) => `io.containerd.snapshotter.v1.${name}`)
]

/** Starts a containerd that writes only below `home`. Returns the path of its socket. */
export const startContainerd = async (
  { group, tools }: Pick<Context, "group" | "tools">,
  home: string
): Promise<string> => {
  mkdirSync(home, { recursive: true })
  const socket = join(home, "containerd.sock")
  const config = join(home, "config.toml")
  writeFileSync(
    config,
    [
      "version = 2",
      `root = "${home}/root"`,
      `state = "${home}/state"`,
      `disabled_plugins = ${JSON.stringify(disabled)}`,
      "[grpc]",
      `address = "${socket}"`,
      ""
    ].join("\n")
  )
  const daemon = group.daemon(tools.containerd, ["-c", config], {
    env: tools.env,
    cwd: home,
    logFile: join(home, "log"),
    stopSignal: "SIGTERM"
  })
  const isUp = () =>
    group.run(tools.ctr, ["-a", socket, "version"], { env: tools.env }).then(
      () => true,
      () => false
    )
  await until("containerd", daemon, 20_000, isUp)
  return socket
}

/** Returns the file of a blob in containerd's content store. */
const fileOf = (home: string, { digest }: Blob): string =>
  join(home, "root/io.containerd.content.v1.content/blobs/sha256", hexOf(digest))

/** Asserts that the containerd at `home` has the blobs of `image`, and each byte. */
const expectHas = (home: string, image: Pushable): void => {
  for (const blob of image.blobs) {
    assert.ok(blob.bytes.equals(readFileSync(fileOf(home, blob))), `the bytes of ${blob.digest}`)
  }
}

const makeImages = (): { readonly single: Image; readonly multi: Pushable } => {
  const first = makeLayer("ctr 4096", 4 * 1024)
  const layers = [first, ...[200 * 1024, 5 * 1024 * 1024].map((size) => makeLayer(`ctr ${size}`, size))]
  const ofArchitecture = (arch: string) =>
    makeImage(`ctr multi ${arch}`, [first, makeLayer(`ctr ${arch}`, 64 * 1024)], arch)
  return {
    single: makeImage("ctr", layers),
    multi: makeIndex("ctr multi", ["amd64", "arm64"].map(ofArchitecture))
  }
}

export const suite = (context: Context): Suite => {
  const { group, tools, folder, registry, repositories } = context
  const { single, multi } = makeImages()
  const homes = {
    pushing: join(folder, "containerd-pushing"),
    pulling: join(folder, "containerd-pulling")
  }
  type Which = keyof typeof homes
  const sockets: Record<Which, string> = { pushing: "", pulling: "" }
  const remote = (repository: string, url = registry.url) => {
    repositories.add(repository)
    return named(url, repository, "1")
  }
  const ctr = (which: Which, ...args: ReadonlyArray<string>) =>
    group.run(tools.ctr, ["-a", sockets[which], ...args], { env: tools.env })
  const load = (image: Pushable, name: string, ...flags: ReadonlyArray<string>) => {
    const archive = writeLayoutArchive(join(folder, `${hexOf(image.manifest.digest)}.tar`), image, name)
    return ctr("pushing", "images", "import", ...flags, archive)
  }
  return {
    prepare: async () => {
      if (process.getuid?.() !== 0) throw new Skipped("containerd needs root")
      sockets.pushing = await startContainerd(context, homes.pushing)
      sockets.pulling = await startContainerd(context, homes.pulling)
    },
    checks: [
      {
        name: "containerd pushes an image that ctr imported",
        run: async () => {
          await load(single, "local/single:1", "--snapshotter", "native")
          await ctr("pushing", "images", "push", "--plain-http", remote("ctr/app"), "local/single:1")
        }
      },
      {
        name: "another containerd pulls it, each byte, and unpacks it",
        run: async () => {
          const flags = ["--plain-http", "--snapshotter", "native"]
          await ctr("pulling", "images", "pull", ...flags, remote("ctr/app"))
          expectHas(homes.pulling, single)
        }
      },
      {
        name: "containerd pushes an index with the images of two architectures",
        run: async () => {
          await load(multi, "local/multi:1", "--all-platforms", "--no-unpack")
          await ctr("pushing", "images", "push", "--plain-http", remote("ctr/multi"), "local/multi:1")
        }
      },
      ...registry.replicas.map((way) => ({
        name: `another containerd pulls all of it through the ${way.name}`,
        run: async () => {
          const name = remote("ctr/multi", way.url)
          await ctr("pulling", "content", "fetch", "--plain-http", "--all-platforms", name)
          expectHas(homes.pulling, multi)
          // Otherwise the next pull would find every blob in place.
          await ctr("pulling", "images", "rm", "--sync", name)
          assert.ok(!existsSync(fileOf(homes.pulling, multi.manifest)), "containerd forgot the image")
        }
      }))
    ]
  }
}
