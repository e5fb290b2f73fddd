import * as Databases from "../fixtures/Databases.ts"
import { foreignContract } from "./foreign.ts"

foreignContract(Databases.embedded)
