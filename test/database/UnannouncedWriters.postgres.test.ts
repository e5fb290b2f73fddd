import * as Databases from "../fixtures/Databases.ts"
import { unannouncedWritersContract } from "./UnannouncedWriters.contract.ts"

unannouncedWritersContract(Databases.embedded)
