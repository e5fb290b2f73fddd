import * as Databases from "../fixtures/Databases.ts"
import { lockContract } from "./locks.ts"

lockContract(Databases.embedded)
