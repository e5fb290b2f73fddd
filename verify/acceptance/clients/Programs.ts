/** Clients that are built from Go modules at pinned versions. */
import { program } from "../../../tools/servers/Golang.ts"
import { helm } from "../../deploy/Tools.ts"

const crane = program({
  name: "crane",
  module: "github.com/google/go-containerregistry/cmd/crane",
  version: "v0.22.1"
})

const oras = program({ name: "oras", module: "oras.land/oras/cmd/oras", version: "v1.3.6" })

const regctl = program({
  name: "regctl",
  module: "github.com/regclient/regclient/cmd/regctl",
  version: "v0.11.7"
})

const cosign = program({
  name: "cosign",
  module: "github.com/sigstore/cosign/v3/cmd/cosign",
  version: "v3.1.3"
})

/** Distribution's own token server, which is no part of distribution 3. */
const tokenServer = program({
  name: "token-server",
  module: "github.com/docker/distribution/contrib/token-server",
  version: "v2.8.3",
  requires: [
    "github.com/docker/distribution v2.8.3+incompatible",
    "github.com/docker/libtrust v0.0.0-20160708172513-aabc10ec26b7",
    "github.com/gorilla/mux v1.8.1",
    "github.com/sirupsen/logrus v1.9.4",
    "golang.org/x/crypto v0.59.0",
    "golang.org/x/sys v0.50.0"
  ]
})

const programs = { crane, oras, regctl, helm, cosign, "token-server": tokenServer }

/** A client that is built. */
export type ProgramName = keyof typeof programs

/** Where a program is, or why it could not be built. */
export type Built = { readonly path: string } | { readonly error: unknown }

/** Builds those that are missing in the cache folder, one after the other. A build that fails is part of the result. */
export const build = async (
  cache: string,
  names: ReadonlyArray<ProgramName>
): Promise<ReadonlyMap<ProgramName, Built>> => {
  const built = new Map<ProgramName, Built>()
  for (const name of names) {
    const { binary, install } = programs[name]
    built.set(
      name,
      await install(cache).then(
        () => ({ path: binary(cache) }),
        (error: unknown) => ({ error })
      )
    )
  }
  return built
}
