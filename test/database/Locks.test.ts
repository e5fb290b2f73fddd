import * as Databases from "../support/Databases.ts"
import { lockContract } from "./locks.ts"

lockContract(Databases.embedded)
