/**
 * containerd and its `ctr`, which pulls and pushes as Kubernetes' nodes do. Pulls go to a second containerd: the first has
 * the bytes already and would ask for none.
 */
import assert from "node:assert/strict"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { until } from "../servers/processes.mjs"
import { hexOf, makeImage, makeIndex, makeLayer, writeLayoutArchive } from "./images.mjs"
import { named } from "./registry.mjs"
import { Skipped } from "./report.mjs"

/** What needs more than folders of its own, or writes elsewhere: Kubernetes' interface, /opt, other file systems. */
const disabled = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
  ...["aufs", "btrfs", "devmapper", "zfs"].map((name) => `io.containerd.snapshotter.v1.${name}`)
]

/** Starts one with everything it writes below `home`; answers its socket. */
export const startContainerd = async ({ group, tools }, home) => {
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
  const logFile = join(home, "log")
  const daemon = group.daemon(tools.containerd, ["-c", config], {
    env: tools.env,
    cwd: home,
    logFile,
    stopSignal: "SIGTERM"
  })
  const isUp = () =>
    group.run(tools.ctr, ["-a", socket, "version"], { env: tools.env }).then(
      () => true,
      () => false
    )
  await until("containerd", daemon, 20_000, isUp)
  return { socket, ...daemon }
}

/** Where its content store, which is a folder of files, has a blob. */
const fileOf = (home, { digest }) =>
  join(home, "root/io.containerd.content.v1.content/blobs/sha256", hexOf(digest))

/** That it has the blobs of `image`, and each byte. */
const expectHas = (home, image) => {
  for (const blob of image.blobs) {
    assert.ok(blob.bytes.equals(readFileSync(fileOf(home, blob))), `the bytes of ${blob.digest}`)
  }
}

const makeImages = () => {
  const layers = [4 * 1024, 200 * 1024, 5 * 1024 * 1024].map((size) => makeLayer(`ctr ${size}`, size))
  const ofArchitecture = (arch) =>
    makeImage(`ctr multi ${arch}`, [layers[0], makeLayer(`ctr ${arch}`, 64 * 1024)], { arch })
  return {
    single: makeImage("ctr", layers),
    multi: makeIndex("ctr multi", ["amd64", "arm64"].map(ofArchitecture))
  }
}

export const suite = (context) => {
  const { group, tools, folder, registry, repositories } = context
  const { single, multi } = makeImages()
  const homes = ["pushing", "pulling"].map((name) => join(folder, `containerd-${name}`))
  const remote = (repository, url = registry.balancer.url) => {
    repositories.add(repository)
    return named(url, repository, "1")
  }
  const sockets = []
  const ctr = (which, ...args) => group.run(tools.ctr, ["-a", sockets[which], ...args], { env: tools.env })
  const load = (image, name, ...flags) => {
    const archive = writeLayoutArchive(join(folder, `${hexOf(image.manifest.digest)}.tar`), image, name)
    return ctr(0, "images", "import", ...flags, archive)
  }
  return {
    prepare: async () => {
      if (process.getuid() !== 0) throw new Skipped("containerd needs root")
      for (const home of homes) sockets.push((await startContainerd(context, home)).socket)
    },
    checks: [
      [
        "containerd pushes an image that ctr imported",
        async () => {
          await load(single, "local/single:1", "--snapshotter", "native")
          await ctr(0, "images", "push", "--plain-http", remote("ctr/app"), "local/single:1")
        }
      ],
      [
        "another containerd pulls it, each byte, and unpacks it",
        async () => {
          await ctr(1, "images", "pull", "--plain-http", "--snapshotter", "native", remote("ctr/app"))
          expectHas(homes[1], single)
        }
      ],
      [
        "containerd pushes an index with the images of two architectures",
        async () => {
          await load(multi, "local/multi:1", "--all-platforms", "--no-unpack")
          await ctr(0, "images", "push", "--plain-http", remote("ctr/multi"), "local/multi:1")
        }
      ],
      ...["first replica", "second replica"].map((way) => [
        `another containerd pulls all of it through the ${way}`,
        async () => {
          const name = remote("ctr/multi", registry.ways[way])
          await ctr(1, "content", "fetch", "--plain-http", "--all-platforms", name)
          expectHas(homes[1], multi)
          // Else the next pull would find everything there.
          await ctr(1, "images", "rm", "--sync", name)
          assert.ok(!existsSync(fileOf(homes[1], multi.manifest)), "containerd forgot the image")
        }
      ])
    ]
  }
}
