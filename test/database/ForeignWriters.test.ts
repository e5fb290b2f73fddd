import * as Databases from "../support/Databases.ts"
import { foreignContract } from "./foreign.ts"

foreignContract(Databases.embedded)
