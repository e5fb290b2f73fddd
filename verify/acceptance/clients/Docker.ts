/** docker: its daemon with folders, socket and containerd of its own, and its command line. */
import assert from "node:assert/strict"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { until } from "../servers/processes.mjs"
import { startContainerd } from "./containerd.mjs"
import { hexOf, makeImage, makeLayer, writeDockerArchive } from "./images.mjs"
import { bytesOf, manifestOf, named } from "./registry.mjs"
import { Skipped } from "./report.mjs"
import { expectUnpackedSame, skopeo } from "./skopeo.mjs"
import { untar } from "./tar.mjs"

/**
 * In a mount namespace of its own with an empty /run, because the daemon makes folders there whatever it is told, and so
 * that what it mounts ends with it.
 */
const inOwnMounts = (program, args) => [
  "unshare",
  [
    ...["--mount", "--propagation", "private", "sh", "-c"],
    'mount -t tmpfs tmpfs /run && exec "$@"',
    ...["sh", program, ...args]
  ]
]

const startDocker = async (context, home) => {
  const { group, tools } = context
  mkdirSync(home, { recursive: true })
  const containerd = await startContainerd(context, join(home, "containerd"))
  const socket = `unix://${home}/docker.sock`
  const config = join(home, "daemon.json")
  // The key of its own that it makes would be /etc/docker/key.json.
  writeFileSync(config, JSON.stringify({ "deprecated-key-path": join(home, "key.json") }))
  const [program, args] = inOwnMounts(tools.dockerd, [
    ...["--config-file", config, "--host", socket, "--pidfile", join(home, "pid")],
    ...[
      "--containerd",
      containerd.socket,
      "--data-root",
      join(home, "data"),
      "--exec-root",
      join(home, "exec")
    ],
    ...["--storage-driver", "vfs", "--bridge=none", "--iptables=false", "--ip6tables=false"]
  ])
  const daemon = group.daemon(program, args, {
    env: tools.env,
    cwd: home,
    logFile: join(home, "log"),
    stopSignal: "SIGTERM"
  })
  const docker = (...command) => group.run(tools.docker, ["--host", socket, ...command], { env: tools.env })
  const isUp = () =>
    docker("version").then(
      () => true,
      () => false
    )
  await until("dockerd", daemon, 30_000, isUp)
  return docker
}

export const suite = (context) => {
  const { folder, registry, repositories } = context
  const image = makeImage(
    "docker",
    [4 * 1024, 400 * 1024, 17 * 1024 * 1024].map((size) => makeLayer(`docker ${size}`, size))
  )
  const through = registry.balancer.url
  const name = named(through, "docker/app", "1")
  const imported = named(through, "docker/imported", "1")
  let docker

  const idOf = async (reference) =>
    (await docker("image", "inspect", "--format", "{{.Id}}", reference)).trim()
  const forget = async (reference) => {
    await docker("rmi", "--force", reference)
    assert.equal((await docker("images", "--all", "--quiet")).trim(), "", "docker forgot the image")
  }
  /** That docker has each byte of the image: it puts the layers' tars together again from its files. */
  const expectSaved = async (reference) => {
    const file = join(folder, "saved.tar")
    await docker("save", "--output", file, reference)
    const files = untar(readFileSync(file))
    const [{ Config, Layers }] = JSON.parse(files.get("manifest.json"))
    assert.ok(image.config.bytes.equals(files.get(Config)), "the bytes of the configuration")
    assert.equal(Layers.length, image.layers.length)
    for (const [index, layer] of Layers.entries()) {
      assert.ok(image.layers[index].tar.equals(files.get(layer)), `the bytes of layer ${index}`)
    }
  }

  return {
    prepare: async () => {
      if (process.getuid() !== 0) throw new Skipped("dockerd needs root")
      docker = await startDocker(context, join(folder, "docker")).catch((error) => {
        throw new Skipped(`dockerd does not start here: ${error.message}`)
      })
      for (const each of ["docker/app", "docker/imported"]) repositories.add(each)
    },
    checks: [
      [
        "docker pushes an image that it loaded, one layer of 17 MiB",
        async () => {
          await docker("load", "--input", writeDockerArchive(join(folder, "docker.tar"), image, name))
          await docker("push", name)
        }
      ],
      [
        "what docker pushed has the image's configuration and layers, each byte",
        async () => {
          const manifest = await manifestOf(through, "docker/app", "1")
          const blobs = new Map()
          for (const { digest } of [manifest.config, ...manifest.layers]) {
            blobs.set(digest, await bytesOf(`${through}/v2/docker/app/blobs/${digest}`))
          }
          expectUnpackedSame(manifest, (digest) => blobs.get(digest), image)
        }
      ],
      ...Object.entries(registry.ways).map(([way, url]) => [
        `docker pulls it, each byte, through the ${way}`,
        async () => {
          const reference = named(url, "docker/app", "1")
          await docker("rmi", "--force", name)
          assert.equal((await docker("images", "--all", "--quiet")).trim(), "", "docker has no image")
          await docker("pull", reference)
          assert.equal(await idOf(reference), image.config.digest)
          await expectSaved(reference)
          await forget(reference)
          await docker("pull", name)
        }
      ]),
      [
        "docker pushes and pulls an image that it imported from a tar",
        async () => {
          const file = join(folder, "import.tar")
          writeFileSync(file, image.layers[1].tar)
          const id = (await docker("import", file, imported)).trim()
          await docker("push", imported)
          await docker("rmi", "--force", imported)
          await docker("pull", imported)
          assert.equal(await idOf(imported), id)
        }
      ],
      [
        "docker pulls what skopeo pushed, and skopeo what docker did",
        async () => {
          const { repository, tag, image: other } = context.kept
          const reference = named(through, repository, tag)
          await docker("pull", reference)
          assert.equal(await idOf(reference), other.config.digest)
          const pulled = await skopeo(context).pull(name)
          assert.ok(image.config.bytes.equals(pulled.get(image.config.digest)))
          assert.ok([...pulled.keys()].every((digest) => hexOf(digest).length === 64))
        }
      ]
    ]
  }
}
