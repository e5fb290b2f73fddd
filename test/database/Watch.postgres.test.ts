import * as Databases from "../fixtures/Databases.ts"
import { watchContract } from "./watch.ts"

watchContract(Databases.embedded)
