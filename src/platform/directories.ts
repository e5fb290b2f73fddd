/** Making directories, without the surprises of node's own way. */
import { mkdir } from "node:fs/promises"
import { dirname } from "node:path"

/**
 * Makes `path` and its parents; succeeds when they are there. Rejects with the file system's error.
 *
 * Not node's own `recursive` (seen with Node 20.20, 2026-11-23): on a file system that answers ENOENT for a child of an
 * existing directory (/proc), it tries again for ever at full speed; and it answers ENOTDIR when somebody removes a
 * parent meanwhile, where this rejects with ENOENT.
 */
export const makeDirectory = async (path: string): Promise<void> => {
  const attempt = () =>
    mkdir(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "EEXIST") throw cause
    })
  try {
    await attempt()
  } catch (cause) {
    const parent = dirname(path)
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT" || parent === path) throw cause
    await makeDirectory(parent)
    await attempt()
  }
}
