/** Whose share of places a request uses. */
import { assert, it } from "vitest"
import { shareOf } from "../../../src/oci/http/ClientAddress.ts"

it.each([
  ["192.0.2.7", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:db8::5", "2001:db8:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
  ["::1", "0:0:0:0"],
  ["", ""]
])("the client at %s has the share of %s", (address, share) => {
  assert.strictEqual(shareOf(address), share)
})
