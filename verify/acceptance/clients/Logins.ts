/** The same checks of users, passwords and rights for every client. */
import type { Context } from "./Context.ts"
import { type Flow, flowNames, refused, user } from "./Guarded.ts"
import type { Check } from "./Report.ts"

/** How a client logs in, pushes and pulls. */
export interface LoginClient {
  readonly name: string
  readonly login: (host: string, password: string) => Promise<unknown>
  readonly logout: (host: string) => Promise<unknown>
  /** Whether `login` asks the registry. Otherwise the password is first sent with the next command. Default: true. */
  readonly asksAtLogin?: boolean
  /** Pushes to a repository of a host. */
  readonly push: (host: string, repository: string) => Promise<unknown>
  /** Pulls what {@link push} pushed. */
  readonly pull: (host: string, repository: string) => Promise<unknown>
}

const refusal =
  /unauthorized|denied|forbidden|incorrect|invalid username|authentication required|credential (stored|not found)|no basic auth|\b40[13]\b/i

const wrongPassword = async (client: LoginClient, { isOpen, own, url }: Flow): Promise<void> => {
  const { host } = new URL(url)
  if (client.asksAtLogin ?? true) return await refused(() => client.login(host, "wrong"), refusal)
  await client.login(host, "wrong")
  await refused(() => client.push(host, `${own}/${client.name}`), refusal)
  if (isOpen) await refused(() => client.pull(host, `public/${client.name}`), refusal)
  await client.logout(host)
}

const rightPassword = async (client: LoginClient, { isOpen, own, url }: Flow): Promise<void> => {
  const { host } = new URL(url)
  await client.login(host, user.password)
  for (const repository of isOpen ? [own, "public"] : [own]) {
    await client.push(host, `${repository}/${client.name}`)
    await client.pull(host, `${repository}/${client.name}`)
  }
  await refused(() => client.push(host, `other/${client.name}`), refusal)
  await client.logout(host)
  await refused(() => client.pull(host, `${own}/${client.name}`), refusal)
}

const withoutCredentials = async (client: LoginClient, { own, url }: Flow): Promise<void> => {
  const { host } = new URL(url)
  await client.pull(host, `public/${client.name}`)
  // Some clients send nothing to a repository that has the image.
  await refused(() => client.push(host, `public/new/${client.name}`), refusal)
  await refused(() => client.pull(host, `${own}/${client.name}`), refusal)
}

/** The flows beside tokens, for clients that have checks of their own for these. */
export const otherFlows = ["name and password", "tokens of another program"] as const

/** Returns the checks of a client. `only` names some of the flows. Default: all. */
export const loginChecks = (
  client: LoginClient,
  { guarded, repositories }: Pick<Context, "guarded" | "repositories">,
  only: ReadonlyArray<Flow["name"]> = flowNames
): ReadonlyArray<Check> => {
  for (const own of ["team", "public", user.name]) repositories.add(`${own}/${client.name}`)
  const at = (name: Flow["name"], check: (client: LoginClient, flow: Flow) => Promise<void>) => async () =>
    check(client, guarded.flow(name))
  return only.flatMap((flow) => [
    {
      name: `${client.name} logs in (${flow}), pushes and pulls what it may, and is refused elsewhere`,
      run: at(flow, rightPassword)
    },
    { name: `${client.name} is refused with a wrong password (${flow})`, run: at(flow, wrongPassword) },
    ...(flow === "tokens"
      ? [
          {
            name: `${client.name} pulls without credentials what all may read, and nothing else`,
            run: at(flow, withoutCredentials)
          }
        ]
      : [])
  ])
}
