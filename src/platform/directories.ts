/** Creates directories without the faults of Node's recursive mkdir. */
import { mkdir } from "node:fs/promises"
import { dirname } from "node:path"

/**
 * Creates `path` and its parents, and succeeds if they exist. `mode` is that of `path`, less the process's mask. Rejects with the file system's error.
 *
 * Node's own `recursive` has two faults (seen with Node 20.20, 2026-11-23). On a file system that answers
 * ENOENT for a child of an existing directory (/proc), it retries for ever at full speed. If another process
 * removes a parent meanwhile, it answers ENOTDIR, where this function rejects with ENOENT.
 */
export const makeDirectory = async (path: string, mode = 0o777): Promise<void> => {
  const attempt = () =>
    mkdir(path, { mode }).catch((cause: NodeJS.ErrnoException) => {
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
