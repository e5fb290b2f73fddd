import * as Databases from "../fixtures/Databases.ts"
import { unannouncedTwinContract } from "./UnannouncedTwin.contract.ts"

unannouncedTwinContract(Databases.embedded)
