/** What this process is called among those of other hosts. */
import { hostname } from "node:os"

let drawn = 0

/**
 * Host name and process; from the second on in one process with a number, so that each is another. The same again
 * after a restart where process numbers are the same, as in containers.
 */
export const drawProcessName = (): string => {
  drawn += 1
  return `${hostname()}/${process.pid}${drawn === 1 ? "" : `/${drawn}`}`
}
