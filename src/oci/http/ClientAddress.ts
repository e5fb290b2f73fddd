/** The address of a client, as far as one client cannot choose among many. */
import { IncomingMessage } from "node:http"
import { isIPv6 } from "node:net"

/**
 * Returns whose share of places a request uses. An IPv6 client owns 2^64 addresses, so its network counts. Behind a proxy all
 * clients have the proxy's address. Other servers than Node's tell none.
 */
export const clientOf = (source: object): string =>
  source instanceof IncomingMessage ? shareOf(source.socket.remoteAddress ?? "") : ""

/** Returns an IPv4 address as it is, and the first 64 bits of an IPv6 address. */
export const shareOf = (address: string): string => {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address)) return address
  const [head = "", tail] = address.replace(/%.*$/, "").split("::")
  const before = head === "" ? [] : head.split(":")
  const after = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => "0")
  return [...before, ...zeros, ...after].slice(0, 4).join(":")
}
