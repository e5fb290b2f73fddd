/** Root file systems of images without a registry of images: programs of this machine, with the libraries that they load. */
import { chmodSync, chownSync, cpSync, mkdirSync, realpathSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { Missing } from "../../tools/Program.ts"
import { run, which } from "../../tools/servers/Processes.ts"

/** What an image holds. Paths of the machine are keys, paths of the image are values. */
export interface Root {
  /** Programs, each with its shared libraries. */
  readonly programs: Readonly<Record<string, string>>
  /** Files and folders, as they are. A shared library brings those that it loads. */
  readonly files?: Readonly<Record<string, string>>
  /** Texts by their path in the image. They may be run. */
  readonly texts?: Readonly<Record<string, string>>
  /** Folders by their path in the image, with their owner. */
  readonly folders?: Readonly<Record<string, number>>
  /** The environment in which the programs find their libraries. Default: this process's. */
  readonly env?: NodeJS.ProcessEnv
}

/** Returns the path of a program on PATH, with links resolved. */
export const find = (program: string): string => {
  const path = which(program)
  if (path === undefined) throw new Missing(`${program} is not on PATH.`)
  return realpathSync(path)
}

/** Writes an image's root as a tar below `folder`, which `docker import` reads. Returns the file. */
export const writeRoot = async (
  folder: string,
  name: string,
  { env = process.env, files = {}, folders = {}, programs, texts = {} }: Root
): Promise<string> => {
  const root = join(folder, name)
  const at = (path: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    return join(root, path)
  }
  const put = (from: string, to: string) => cpSync(realpathSync(from), at(to), { recursive: true })
  for (const [from, to] of Object.entries({ ...programs, ...files })) put(from, to)
  const linked = [...Object.keys(programs), ...Object.keys(files).filter((file) => file.endsWith(".so"))]
  for (const file of linked) {
    const libraries = (await run("ldd", [file], { env })).match(/\/\S+/g) ?? []
    for (const library of libraries) {
      // The linker finds what was unpacked aside by its name.
      const isAside = env !== process.env && !/^\/(usr\/)?lib/.test(library)
      put(library, isAside ? `/usr/lib/${basename(library)}` : library)
    }
  }
  for (const [path, text] of Object.entries(texts)) {
    writeFileSync(at(path), text)
    chmodSync(at(path), 0o755)
  }
  for (const [path, owner] of Object.entries({ "/tmp": 0, ...folders })) {
    mkdirSync(at(path), { recursive: true })
    chownSync(at(path), owner, owner)
  }
  chmodSync(at("/tmp"), 0o1777)
  const file = join(folder, `${name}.tar`)
  await run("tar", ["--directory", root, "--create", "--file", file, "."])
  return file
}
