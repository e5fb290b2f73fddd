import * as Databases from "../support/Databases.ts"
import { changeContract } from "./locks.ts"

changeContract(Databases.embedded)
