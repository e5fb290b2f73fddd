/* The world: what the catalogue and the store hold, what may go wrong, and what must never be.
 *
 * One digest. Digests meet only in batches, and a batch is a transaction that does the same to each.
 * K object keys, W writers, C collectors. There is no clock: every grace, quarantine, lease and delay has
 * elapsed whenever somebody looks, so what holds here holds however long, or short, the waits are.
 */
#ifndef K
#define K 2
#endif
#ifndef W
#define W 2
#endif
#ifndef C
#define C 1
#endif

/* Sets of keys, or of writers: one bit for each. */
#define HAS(set, x)  (((set) >> (x)) & 1)
#define ADD(set, x)  set = set | (1 << (x))
#define DROP(set, x) set = set & ~(1 << (x))

#define NONE 7

/* The catalogue. What a transaction writes, it writes in one step. */
byte row = NONE;        /* blobs: the key of the digest's row, or NONE                    */
bit locked;             /* a purge holds the row FOR UPDATE                               */
bit condemned;          /* orphans: the row is in quarantine                              */
byte reference;         /* artifacts: the writers whose reference is committed            */
byte pin;               /* pins: the writers whose pin is committed                       */
byte intent;            /* intents: the keys announced                                    */
byte journal;           /* journal: the keys to delete                                    */
byte nextKey;           /* a key that was never used; random in the code, so never met twice */

/* The store. */
byte object;            /* the keys that have an object                                   */
byte latePut;           /* PUTs that timed out at the writer and may still take effect    */
byte lateDelete;        /* DELETEs that some collector has sent, or is about to send      */

#define owned(k) (row == (k) || HAS(intent, k))

/* What may go wrong. When safety is checked there is no bound: any process dies at any step, as often as it
 * likes, and a request that timed out takes effect at any later moment, any number of times. A promise that
 * something happens in the end cannot outlast endless faults, so there they are counted. Weak fairness obliges each
 * process to go on; OR_NOTHING frees those that need not. */
#ifdef LIVE
#ifndef FAULTS
#define FAULTS 1
#endif
byte faults = FAULTS;
bit idle;
#define FAULT        faults > 0 -> faults--
#define LANDED(k)    DROP(latePut, k)
#define OR_NOTHING(then) :: idle = 1 - idle; then
#else
#define FAULT        true
#define LANDED(k)    skip
#define OR_NOTHING(then)
#endif

/* A failover to a replica that had not received the last commits. `young` are the keys whose death the replica
 * has not heard of; with DELAY a young key is not deleted yet (GC_DELETE_DELAY exceeds the replication lag). */
#ifdef LOST_COMMITS
byte youngPurge, youngReap;
bit failedOver;
#define YOUNG(set, k) ADD(set, k)
#else
#define YOUNG(set, k) skip
#endif
#ifdef DELAY
#define due (journal & ~(youngPurge | youngReap))
#else
#define due journal
#endif

#ifdef NO_JOURNAL
#define JOURNAL(k) skip
#else
#define JOURNAL(k) ADD(journal, k)
#endif

/* What must never be. */
#define I1 (reference == 0 || (row != NONE && HAS(object, row)))
#define I2 (row == NONE || HAS(object, row))
#define I5 (pin == 0 || row != NONE)

/* `ONLY` narrows a mutant's search to one promise, where a lesser one would fail first. */
#ifndef ONLY
#define ONLY 0
#endif
#define checks(i) (ONLY == 0 || ONLY == i)

proctype Invariants()
{
end:    if
        :: d_step { checks(1) && !I1 ->
                    printf("BROKEN I1: a committed reference has no row, or its row no object\n"); assert(false) }
        :: d_step { checks(2) && !I2 -> printf("BROKEN I2: the row of key %d has no object\n", row); assert(false) }
        :: d_step { checks(5) && !I5 -> printf("BROKEN I5: a pin has no row\n"); assert(false) }
        fi
}

/* I4, a reader: finds the key while writer 0's reference stands, and fetches it later. If the reference goes in
 * between it gives up: then only the delete delay helps, and that is a matter of time. Writers are alike, so one
 * reference stands for all. */
byte reading = NONE;

proctype Reader()
{
end:    do
        :: d_step { reading == NONE && HAS(reference, 0) && row != NONE -> reading = row;
                    printf("reader: locate, key %d\n", row) }
        :: d_step { reading != NONE && checks(4) && !HAS(object, reading) ->
                    printf("BROKEN I4: get of key %d finds nothing, and the reference stands\n", reading);
                    assert(false) }
        :: d_step { reading != NONE -> reading = NONE }
        od
}

/* Requests that timed out, or were sent by a process that slept. Nothing obliges them to arrive. */
proctype Network(byte k)
{
end:    do
        :: d_step { HAS(latePut, k) && !HAS(object, k) -> ADD(object, k); LANDED(k);
                    printf("network: a late put of key %d takes effect\n", k) }
        :: d_step { HAS(lateDelete, k) && HAS(object, k) -> DROP(object, k);
                    printf("network: a late delete of key %d takes effect\n", k) }
        OR_NOTHING(skip)
        od
}

/* I3: no key is garbage from some moment on for ever, and no pin stays for ever. */
#define used       (reference != 0 || pin != 0)
#define exists(k)  (row == (k) || HAS(intent, k) || HAS(journal, k) || HAS(object, k))
#define garbage(k) (exists(k) && !(row == (k) && used))
