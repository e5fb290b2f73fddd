/** The settings of the port for operators: the status page, metrics and probes of `run` and `serve`. */
import { optionalText, optionalWord, text } from "../domain/Setting.ts"

/** The settings of the port for operators, by the name that the program uses. */
export const ops = {
  opsHost: text("OPS_HOST", "127.0.0.1", {
    about:
      "Address of the port for operators, where `run` and `serve` show the status page, metrics and probes. The default is this host only, because it asks for no password. `0.0.0.0` or `::` means every address."
  }),
  opsPort: optionalText("OPS_PORT", "a port from 0 to 65535, or off", {
    about:
      "Port for operators: the status page at `/`, `/metrics` for Prometheus, `/livez` and `/readyz` for probes; 9464 if it is not set. 0 takes any free port, and the log names it. `off` opens none. If it is set and in use, the program does not start. If it is not set and 9464 is in use, the program warns and runs without."
  }),
  opsNames: optionalText("OPS_NAMES", "names, separated by commas", {
    about:
      "Names by which Prometheus and probes reach the port for operators, e.g. `artifact-gc`. Requests under other names than these and this host's own are refused, so that no web page reaches the port under a name of its own. Addresses and `localhost` are always accepted."
  }),
  opsTlsCert: optionalText("OPS_TLS_CERT", "path of a file", {
    about:
      "Certificate of the port for operators, in PEM, together with OPS_TLS_KEY. With both it speaks https alone. It may be the file of SERVE_TLS_CERT."
  }),
  opsTlsKey: optionalText("OPS_TLS_KEY", "path of a file", {
    about: "Private key of OPS_TLS_CERT, in PEM, without a passphrase."
  }),
  logFormat: optionalWord("GC_LOG_FORMAT", ["json", "text"], {
    about:
      "Form of the log on standard error. Without it: `text` on a terminal, otherwise `json`, a line each, with the sweep, the phase and the batch that it is about."
  })
}
