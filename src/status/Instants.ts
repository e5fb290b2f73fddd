/** Instants as the status shows them. */

/** Returns an instant in milliseconds since the epoch as ISO 8601. */
export const iso = (instant: number): string => new Date(instant).toISOString()

/** Returns the same, and null for null. */
export const isoOrNull = (instant: number | null): string | null => (instant === null ? null : iso(instant))
