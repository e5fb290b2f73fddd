import * as Databases from "../fixtures/Databases.ts"
import { hostTransactionsContract, postgresHost } from "./HostTransactions.contract.ts"

hostTransactionsContract(Databases.embedded.name, postgresHost(Databases.embedded))
