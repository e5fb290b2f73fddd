// Exits 0 if the port for operators says that this process can work. Docker's HEALTHCHECK runs it.
import { get } from "node:http"

const port = process.env.OPS_PORT || "9464"
if (port === "off") {
  process.stderr.write("OPS_PORT=off: there is no port to ask. Run the container with --no-healthcheck.\n")
  process.exit(1)
}
const address = process.env.OPS_HOST || "0.0.0.0"
const host = ["0.0.0.0", "::"].includes(address) ? "127.0.0.1" : address

// The program gives database and store five seconds.
get({ host, port, path: "/readyz", timeout: 8000 }, (response) => {
  response.pipe(process.stdout)
  response.once("end", () => process.exit(response.statusCode === 200 ? 0 : 1))
})
  .once("timeout", () => process.exit(1))
  .once("error", ({ message }) => {
    process.stderr.write(`${message}\n`)
    process.exit(1)
  })
