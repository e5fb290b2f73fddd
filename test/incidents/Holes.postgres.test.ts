import * as Databases from "../fixtures/Databases.ts"
import { peerHoles } from "./Holes.contract.ts"

peerHoles(Databases.embedded)
