import * as Databases from "../fixtures/Databases.ts"
import { watchContract } from "./Watch.contract.ts"

watchContract(Databases.embedded)
