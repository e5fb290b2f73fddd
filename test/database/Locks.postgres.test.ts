import * as Databases from "../fixtures/Databases.ts"
import { lockContract } from "./Locks.contract.ts"

lockContract(Databases.embedded)
