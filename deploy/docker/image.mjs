// Steps of the Dockerfile that need more than a line.
//
//   node image.mjs manifest      rewrites package.json: the program's packages, and the compiler for the build
//   node image.mjs root FOLDER   fills FOLDER with the image: Node, its libraries, the program
import { execFileSync } from "node:child_process"
import { chmodSync, cpSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"

/**
 * Makes the peers of the library dependencies of the program, at the versions that the lock file holds. Tools of
 * development are left out, and so is the embedded PostgreSQL.
 */
const manifest = () => {
  const { devDependencies, peerDependencies, ...all } = JSON.parse(readFileSync("package.json", "utf8"))
  const pinned = (names) => Object.fromEntries(names.map((name) => [name, devDependencies[name]]))
  const { name, version, license, type, engines, dependencies } = all
  const made = {
    ...{ name, version, license, type, engines, private: true },
    dependencies: { ...dependencies, ...pinned(Object.keys(peerDependencies)) },
    devDependencies: pinned(["typescript", "@types/node"])
  }
  writeFileSync("package.json", `${JSON.stringify(made, null, 2)}\n`)
}

/** Files that only compilers, bundlers and readers use, and parts of Effect that the program does not import. */
const unused = (path) =>
  /\.(d\.[cm]?ts|[cm]?ts|map|md|markdown)$/.test(path) ||
  /\/node_modules\/effect\/(src|ai-docs)$/.test(path) ||
  /\/node_modules\/effect\/dist\/(ai|http-api)$/.test(path) ||
  /\/node_modules\/@(aws-sdk|smithy)\/[^/]+\/dist-(es|types)$/.test(path) ||
  // Node loads index.umd.js.
  /\/node_modules\/hash-wasm\/dist\/(lib|.*\.min\.js|index\.esm\.js)$/.test(path) ||
  /\/node_modules\/(@types|@typescript|undici-types|\.bin|\.package-lock\.json)$/.test(path)

/** The shared libraries that this process has loaded, as the dynamic linker names them. */
const libraries = () => process.report.getReport().sharedObjects.filter((path) => path.startsWith("/"))

/** Where the packages of a host's shells look for completions. The image has no shell: its users copy them. */
const completions = {
  bash: "/usr/share/bash-completion/completions/artifact-gc",
  zsh: "/usr/share/zsh/vendor-completions/_artifact-gc",
  fish: "/usr/share/fish/vendor_completions.d/artifact-gc.fish"
}

const root = (folder) => {
  const copy = (from, to) => {
    mkdirSync(dirname(join(folder, to)), { recursive: true })
    cpSync(realpathSync(from), join(folder, to))
  }

  copy(process.execPath, "/usr/local/bin/node")
  for (const path of libraries()) if (path !== process.execPath) copy(path, path)
  mkdirSync(join(folder, "tmp"), { recursive: true })
  chmodSync(join(folder, "tmp"), 0o1777)
  mkdirSync(join(folder, "etc"), { recursive: true })
  writeFileSync(join(folder, "etc/passwd"), "root:x:0:0:root:/:/none\nartifact-gc:x:65532:65532::/tmp:/none\n")
  writeFileSync(join(folder, "etc/group"), "root:x:0:\nartifact-gc:x:65532:\n")
  writeFileSync(join(folder, "etc/nsswitch.conf"), "hosts: files dns\n")
  for (const name of ["package.json", "LICENSE", "dist", "node_modules", "healthcheck.mjs"]) {
    cpSync(name, join(folder, "app", name), {
      recursive: true,
      filter: (from) => !unused(join(process.cwd(), from))
    })
  }
  copy("man/artifact-gc.1", "/usr/share/man/man1/artifact-gc.1")
  for (const [shell, to] of Object.entries(completions)) {
    mkdirSync(dirname(join(folder, to)), { recursive: true })
    writeFileSync(join(folder, to), execFileSync(process.execPath, ["dist/main.js", "--completions", shell]))
  }
}

const [verb, folder] = process.argv.slice(2)
if (verb === "manifest") manifest()
else if (verb === "root" && folder) root(folder)
else throw new Error(`${basename(import.meta.url)}: manifest, or root FOLDER`)
