/* The world: the contents of the catalogue and the store, the possible faults, and the promises.
 *
 * One digest. Digests share only batches, and a batch is a transaction that does the same to each of them.
 * K object keys, W writers, C collectors. There is no clock: every grace, quarantine, lease and delay may be over
 * at any look. So a result that holds here holds for waits of any length.
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

/* The catalogue. A transaction writes in one step. */
byte row = NONE;        /* blobs: the key of the digest's row, or NONE                    */
bit locked;             /* a purge holds the row FOR UPDATE                               */
bit condemned;          /* orphans: the row is in quarantine                              */
byte reference;         /* artifacts: the writers whose reference is committed            */
byte pin;               /* pins: the writers whose pin is committed                       */
byte intent;            /* intents: the keys announced                                    */
byte journal;           /* journal: the keys to delete                                    */
byte nextKey;           /* a key that was never used (the code uses random keys)          */

/* The store. */
byte object;            /* the keys that have an object                                   */
byte latePut;           /* PUTs that timed out at the writer and may still take effect    */
byte lateDelete;        /* DELETEs that a collector has sent, or is about to send         */

#define owned(k) (row == (k) || HAS(intent, k))

/* A backup of the catalogue is made at any moment and restored at any later one: rows are set back, and the store is
 * not. `fresh` keys have an object that was written since the backup. `lost` keys belonged to rows that the restored
 * catalogue does not know. A person could put these rows back, as long as their objects exist (I6).
 * With AGE the restored catalogue is noticed, and what was written in the lost time or was unfinished then is kept. */
#ifdef RESTORE
byte oldRow, oldReference, oldPin, oldIntent, oldJournal;
bit oldCondemned, backedUp, restored;
byte fresh, lost;
#define WRITTEN(k)      if :: backedUp && !restored -> ADD(fresh, k) :: else fi
#else
#define WRITTEN(k)      skip
#endif
#if defined(RESTORE) && defined(AGE)
#define keptByAge(k)    (restored && HAS(fresh, k))
#define unfinished(k)   (restored && HAS(oldIntent, k))
#else
#define keptByAge(k)    false
#define unfinished(k)   false
#endif
#ifdef AGE_WITHOUT_INTENTS
#undef unfinished
#define unfinished(k)   false
#endif

/* A second catalogue, whose collector B has the same tables. It owns none of these keys. BUCKET: B works in a bucket of
 * its own. With BINDING the tables are bound by the first sweep of A or B, and the other refuses from then on. B binds
 * first only in a bucket of its own: that two catalogues share a prefix of one bucket is forbidden, bound or not. */
#if defined(SECOND) && defined(BINDING)
byte boundTo;           /* 0: not bound yet; 1: collector A; 2: collector B               */
#define WORKS(who)      (boundTo == 0 || boundTo == who)
#define BIND(who)       boundTo = who
#ifdef BUCKET
#define SECOND_WORKS    WORKS(2)
#else
#define SECOND_WORKS    (boundTo == 2)
#endif
#else
#define WORKS(who)      true
#define BIND(who)       skip
#define SECOND_WORKS    true
#endif

/* Faults. Searches for safety have no bound: a process dies at any step, any number of times, and a request that
 * timed out takes effect at any later moment, any number of times. A liveness promise cannot hold under endless
 * faults, so I3 counts them. Weak fairness makes each process continue. OR_NOTHING exempts a process from this. */
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

/* A failover to a replica without the last commits. `young` keys died in a commit that the replica has not received.
 * With DELAY a young key is not deleted yet (GC_DELETE_DELAY exceeds the replication lag). */
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

/* The promises I1, I2 and I5, which must hold in every state. */
#define I1 (reference == 0 || (row != NONE && HAS(object, row)))
#define I2 (row == NONE || HAS(object, row))
#define I5 (pin == 0 || row != NONE)
#define I6 ((lost & ~object) == 0)

/* `ONLY` restricts the search of a mutant to one promise, where another would fail first. */
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
#ifdef RESTORE
        :: d_step { checks(6) && !I6 ->
                    printf("BROKEN I6: the object of a row that the restore lost is deleted\n"); assert(false) }
#endif
        fi
}

/* I4, a reader: finds the key while the reference of writer 0 exists, and fetches the object later. If the reference
 * is removed in between, the reader stops: only the delete delay would help, and the model has no clock. All writers
 * are alike, so one reference represents all. */
byte reading = NONE;

proctype Reader()
{
end:    do
        :: d_step { reading == NONE && HAS(reference, 0) && row != NONE -> reading = row;
                    printf("reader: locate, key %d\n", row) }
        :: d_step { reading != NONE && checks(4) && !HAS(object, reading) ->
                    printf("BROKEN I4: get of key %d finds no object, and the reference exists\n", reading);
                    assert(false) }
        :: d_step { reading != NONE -> reading = NONE }
        od
}

/* Requests that timed out, or were sent by a paused process. They need not arrive. */
proctype Network(byte k)
{
end:    do
        :: d_step { HAS(latePut, k) && !HAS(object, k) -> ADD(object, k); LANDED(k); WRITTEN(k);
                    printf("network: a late put of key %d takes effect\n", k) }
        :: d_step { HAS(lateDelete, k) && HAS(object, k) -> DROP(object, k);
                    printf("network: a late delete of key %d takes effect\n", k) }
        OR_NOTHING(skip)
        od
}

/* I3: no key is garbage for ever from some moment on, and no pin stays for ever. */
#define used       (reference != 0 || pin != 0)
#define exists(k)  (row == (k) || HAS(intent, k) || HAS(journal, k) || HAS(object, k))
#define garbage(k) (exists(k) && !(row == (k) && used))
