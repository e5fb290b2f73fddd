/* Unannounced writers and the end of tombstones (docs/design/unannounced-writers.md) as a model for spin.
 *
 * One digest. Key 0 follows from it, and unannounced writers use it again and again. Key 1 is a fresh key, to which
 * a suspect's bytes are copied. A trigger and the insert after it are one step: the advisory locks make them one.
 * There is no clock. A lease is over at any look, and patience is over when every writer that was between its look
 * and its insert at the stamp has inserted or given up.
 */
#define HAS(set, x)  (((set) >> (x)) & 1)
#define ADD(set, x)  set = set | (1 << (x))
#define DROP(set, x) set = set & ~(1 << (x))
#define NONE 7

#ifndef W
#define W 2
#endif
#ifndef C
#define C 2
#endif

byte row = NONE;      /* the key of the digest's row, or NONE                                  */
bit reference;        /* a committed reference                                                 */
byte object;          /* the keys that have an object                                          */
bit suspect;          /* a suspicion of key 0 is recorded                                      */
bit newer;            /* a suspicion was added since the collector read them                   */
bit tomb, buried;     /* a tombstone of the digest, and of key 0                               */
bit lasting;          /* the tombstone of key 0 stays for ever                                 */
bit journal;          /* key 0 is journaled                                                    */
byte leases;          /* how often its journal row was leased; two means more than once        */
bit lateDelete;       /* a DELETE of key 0 has no answer and may still take effect             */
byte between;          /* writers between their look or PUT and their insert                    */
bit tombStamped, buriedStamped;
byte tombWaits, buriedWaits; /* writers that were so at the stamp and still are            */

#define BURY  buried = 1; buriedStamped = 0; buriedWaits = 0
#define TOMB  tomb = 1; tombStamped = 0; tombWaits = 0
#define ENDS(w) DROP(between, w); DROP(tombWaits, w); DROP(buriedWaits, w)
#define isSuspect (suspect && row == 0)
#define settled (!journal && !lasting && (tomb || buried))

#ifdef NO_PATIENCE
#define waited(set) true
#else
#define waited(set) (set == 0)
#endif
#ifdef NO_LEASES
#define indefinite resent
#else
#ifdef NO_RESENT
#define indefinite (leases != 1)
#else
#define indefinite (leases != 1 || resent)
#endif
#endif
#ifdef STALE_TRUST
#define isSame true
#else
#define isSame (!newer)
#endif

#ifdef WITNESS
bit trusted, ended;
proctype Witness()
{
end:    if
        :: d_step { WITNESS == 1 && reference && row == 0 && trusted ->
                    printf("REACHED\n"); assert(false) }
        :: d_step { WITNESS == 2 && reference && row == 0 && ended && !trusted && !tomb && !buried ->
                    printf("REACHED\n"); assert(false) }
        :: d_step { WITNESS == 3 && reference && row == 1 && lateDelete && HAS(object, 0) ->
                    printf("REACHED\n"); assert(false) }
        fi
}
#define SEEN(what) what = 1
#else
#define SEEN(what) skip
#endif

/* Looks; sends its bytes if there is no row; inserts with DO NOTHING. It may give up anywhere, and begin anew. */
proctype Writer(byte w)
{
        bit saw;
end:    do
        :: d_step { !HAS(between, w) -> ADD(between, w); saw = (row != NONE);
                    printf("writer %d: looks, %d\n", w, saw) }
           if
           :: d_step { true -> ENDS(w); saw = 0 }
           :: d_step { !saw -> saw = 1; ADD(object, 0); printf("writer %d: put of key 0\n", w) } goto sent
           :: d_step { saw -> skip } goto sent
           fi;
           goto next;
sent:      if
           :: d_step { true -> ENDS(w); saw = 0 }
           :: d_step { true ->
                       if
                       :: tomb || buried || suspect -> suspect = 1; newer = 1
                       :: else
                       fi;
                       if
                       :: row == NONE -> row = 0
                       :: else
                       fi;
                       ENDS(w); saw = 0;
                       printf("writer %d: inserts, row %d, suspect %d\n", w, row, isSuspect) }
           fi;
next:      skip
        od
}

proctype Refer()
{
end:    do
        :: d_step { !reference && row != NONE && !isSuspect -> reference = 1;
                    printf("writer: reference to key %d, commit\n", row) }
        :: d_step { reference -> reference = 0; printf("user: removes the reference\n") }
        od
}

/* A purge takes the digest's lock, so it is one step here. A fresh key is deleted at once: no writer uses it. */
proctype Purge()
{
end:    do
        :: d_step { row == 0 && !reference -> row = NONE; suspect = 0; TOMB; BURY; 
                    if
                    :: journal
                    :: else -> journal = 1; leases = 0
                    fi;
                    printf("collector: purge, key 0 to the journal\n") }
        :: d_step { row == 1 && !reference -> row = NONE; TOMB; DROP(object, 1);
                    printf("collector: purge of the fresh key\n") }
        :: d_step { HAS(object, 0) && row != 0 && !journal -> journal = 1; leases = 0; BURY;
                    printf("collector: leftovers, key 0 to the journal\n") }
        od
}

/* A lessee. It may pause for ever between any two steps. */
proctype Delete()
{
        bit resent;
end:    do
        :: d_step { journal -> leases = (leases == 2 -> 2 : leases + 1); resent = 0;
                    printf("collector: claim of key 0, lease %d\n", leases) }
           do
           :: d_step { true -> DROP(object, 0); printf("collector: delete of key 0 is acknowledged\n") } break
           :: d_step { true -> lateDelete = 1; resent = 1; printf("collector: delete of key 0 has no answer\n") }
           :: d_step { true -> lateDelete = 1; resent = 0; printf("collector: gives up a delete without an answer\n") }
              goto postponed
           od;
           skip;
           d_step {
                   if
                   :: journal ->
                        journal = 0;
                        if
                        :: indefinite -> lasting = 1
                        :: else
                        fi;
                        leases = 0
                   :: else
                   fi;
                   resent = 0;
                   printf("collector: confirms key 0, it lasts %d\n", lasting)
           }
postponed: skip
        od
}

/* Takes a suspect out of doubt: in place where no DELETE can be on its way, by a copy otherwise. */
proctype Verify()
{
        bit inPlace, found;
end:    do
        :: d_step { isSuspect -> inPlace = settled; newer = 0 }
           d_step { found = HAS(object, 0);
                    if
                    :: found && !inPlace && row != 1 -> ADD(object, 1)
                    :: else
                    fi;
                    printf("collector: asks the store for key 0, %d\n", found) }
           if
           :: d_step { found && inPlace ->
                       if
                       :: isSuspect && isSame && settled ->
                            suspect = 0; tomb = 0; buried = 0;
                            tombStamped = 0; tombWaits = 0; buriedStamped = 0; buriedWaits = 0;
                            SEEN(trusted); printf("collector: the suspect is verified in place\n")
                       :: else
                       fi;
                       newer = 0; inPlace = 0; found = 0 }
           :: d_step { found && !inPlace ->
                       if
                       :: isSuspect && HAS(object, 1) ->
                            row = 1; suspect = 0; BURY;
                            if
                            :: journal
                            :: else -> journal = 1; leases = 0
                            fi;
                            printf("collector: the suspect moves to the fresh key\n")
                       :: else
                       fi;
                       newer = 0; inPlace = 0; found = 0 }
           :: d_step { !found ->
                       if
                       :: isSuspect && !reference ->
                            row = NONE; suspect = 0;
#ifndef NO_DROP_TOMB
                            TOMB;
#endif
                            printf("collector: the suspect is dropped\n")
                       :: else
                       fi;
                       newer = 0; inPlace = 0; found = 0 }
           fi
        od
}

/* Ends tombstones. */
proctype End()
{
end:    do
        :: d_step { tomb && !tombStamped -> tombStamped = 1; tombWaits = between }
        :: d_step { tomb && tombStamped && waited(tombWaits) -> tomb = 0; tombStamped = 0; tombWaits = 0;
                    printf("collector: the tombstone of the digest ends\n") }
        :: d_step { buried && !buriedStamped && !journal && !lasting -> buriedStamped = 1; buriedWaits = between }
        :: d_step { buried && buriedStamped && !lasting && waited(buriedWaits) ->
                    buried = 0; buriedStamped = 0; buriedWaits = 0; SEEN(ended);
                    printf("collector: the tombstone of key 0 ends\n") }
        od
}

proctype Network()
{
end:    do
        :: d_step { lateDelete && HAS(object, 0) -> DROP(object, 0);
                    printf("network: a late delete of key 0 takes effect\n") }
        od
}

proctype Invariants()
{
end:    if
        :: d_step { reference && (row == NONE || !HAS(object, row)) ->
                    printf("BROKEN I1: a committed reference has no row, or its row no object\n"); assert(false) }
        fi
}

init {
        byte i;
        atomic {
                for (i : 0 .. W - 1) { run Writer(i) }
                for (i : 1 .. C) { run Delete() }
                run Refer();
                run Purge();
                run Verify();
                run End();
                run Network();
                run Invariants();
#ifdef WITNESS
                run Witness();
#endif
                i = 0
        }
}
