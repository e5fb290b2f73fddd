import * as Databases from "../fixtures/Databases.ts"
import { peerHoles } from "./holes.ts"

peerHoles(Databases.embedded)
