import * as Databases from "../fixtures/Databases.ts"
import { changeContract } from "./locks.ts"

changeContract(Databases.embedded)
