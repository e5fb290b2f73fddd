import { hostTransactionsContract, memoryHost } from "./HostTransactions.contract.ts"

hostTransactionsContract("memory", memoryHost)
