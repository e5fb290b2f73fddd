/** The free space of the disk on which a directory is. */
import { statfs } from "node:fs/promises"
import { dirname } from "node:path"

/** Bytes of a disk. */
export interface Space {
  /** Bytes that this process may still write. */
  readonly freeBytes: number
  /** All bytes. */
  readonly totalBytes: number
  /** The share of inodes that are free, 0 to 1; 1 where the file system has no fixed number. */
  readonly freeInodes: number
}

/** Returns the space where `path` is, or would be created. Rejects with the file system's error. */
export const spaceAt = async (path: string): Promise<Space> => {
  try {
    const { bavail, blocks, bsize, ffree, files } = await statfs(path)
    return {
      freeBytes: bavail * bsize,
      totalBytes: blocks * bsize,
      freeInodes: files === 0 ? 1 : ffree / files
    }
  } catch (cause) {
    const parent = dirname(path)
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT" || parent === path) throw cause
    return spaceAt(parent)
  }
}
