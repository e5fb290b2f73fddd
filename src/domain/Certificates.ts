/** What is wrong with the certificate of a server, or with ours, by the code of Node's error. */

/** What is wrong, and the kind of remedy. */
export interface CertificateProblem {
  /** Completes "its certificate …". */
  readonly says: string
  /** What the remedy must change. */
  readonly kind: "time" | "authority" | "host"
}

const unknownAuthority: CertificateProblem = { says: "has an unknown authority", kind: "authority" }

/** The problems that Node finds in the certificate of a server, by `error.code`. */
export const certificateProblems: Readonly<Record<string, CertificateProblem>> = {
  CERT_HAS_EXPIRED: { says: "has expired", kind: "time" },
  CERT_NOT_YET_VALID: { says: "is not valid yet", kind: "time" },
  DEPTH_ZERO_SELF_SIGNED_CERT: { says: "is signed by itself", kind: "authority" },
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  ERR_TLS_CERT_ALTNAME_INVALID: { says: "is for another host name", kind: "host" }
}

/** Where the remedy is made. */
export interface CertificateNames {
  /** The setting of the file of authorities. */
  readonly ca: string
  /** The setting of the server's address. */
  readonly address: string
}

/** Returns what to do about a problem, as sentences. */
export const remedyOf = ({ kind }: CertificateProblem, { address, ca }: CertificateNames): string =>
  ({
    time: "Renew the certificate of the server, and check the clocks of both machines.",
    authority: `Set ${ca} to the file of the authority that signed it, or NODE_EXTRA_CA_CERTS, or correct the certificate.`,
    host: `Write a host in ${address} that the certificate names, or correct the certificate.`
  })[kind]

/** Returns whether an error's code says that the server refused the certificate of this program, or the lack of one. */
export const isRefusedByServer = (code: string): boolean => /^ERR_SSL_.*ALERT/.test(code)
