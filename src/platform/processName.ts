/** The name of this process among those of all hosts. */
import { hostname } from "node:os"

let drawn = 0

/**
 * Returns host name and process id. From the second call in one process on, it adds a number, so that each
 * name is unique. A restarted process gets the same name if it has the same process id, as in containers.
 */
export const drawProcessName = (): string => {
  drawn += 1
  return `${hostname()}/${process.pid}${drawn === 1 ? "" : `/${drawn}`}`
}
