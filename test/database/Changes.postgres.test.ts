import * as Databases from "../fixtures/Databases.ts"
import { changeContract } from "./Locks.contract.ts"

changeContract(Databases.embedded)
