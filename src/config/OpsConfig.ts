/** Where the port for operators listens. */
import { hostname } from "node:os"
import { namesIn, type TlsFiles, tlsFilesOf } from "./ServeConfig.ts"
import type { Values } from "./settings.ts"

/** The port for operators. */
export interface OpsConfiguration {
  /** Address on which it listens. */
  readonly host: string
  /** Port on which it listens; 0 is any free port. */
  readonly port: number
  /** Files of the certificate; null without TLS. */
  readonly tls: TlsFiles | null
  /** Whether the program refuses to start if the port is in use. */
  readonly required: boolean
  /** Names that a request may name as its host, beside addresses. */
  readonly hosts: ReadonlyArray<string>
}

/** The port that OpenTelemetry reserves for Prometheus. */
const defaultPort = 9464

/** Returns the port for operators, or null without one. Adds a line to `problems` for a mistake. */
export const opsOf = (values: Values, problems: Array<string>): OpsConfiguration | null => {
  const { opsHost: host, opsNames, opsPort } = values
  const tls = tlsFilesOf("OPS", values.opsTlsCert, values.opsTlsKey, problems)
  if (opsPort === "off") return null
  const port = opsPort === null ? defaultPort : portIn(opsPort)
  if (port === null) {
    problems.push("OPS_PORT: is no port; write a whole number from 0 to 65535, or off")
    return null
  }
  return {
    host,
    port,
    tls,
    required: opsPort !== null,
    hosts: ["localhost", hostname(), host, ...namesIn(opsNames)]
  }
}

const portIn = (given: string): number | null => {
  const port = /^\d{1,5}$/.test(given) ? Number(given) : Number.NaN
  return port <= 65_535 ? port : null
}
