import * as Databases from "../support/Databases.ts"
import { peerHoles } from "./holes.ts"

peerHoles(Databases.embedded)
