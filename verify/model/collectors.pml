/* Collectors: src/sweep on the verbs of src/database/contract/Orphans.ts, Journal.ts and Leftovers.ts.
 *
 * Each task is a process of its own, so any number of collectors may run the tasks in any order. A task without
 * memory between two transactions needs only one process, for any number of collectors.
 */

#ifdef PIN_IGNORED
#define unused (reference == 0)
#else
#define unused (reference == 0 && pin == 0)
#endif

/* find, record: advisory. The result of find may be out of date when record writes it, so any row may be condemned. */
proctype Condemn()
{
end:    do
        :: d_step { row != NONE && !condemned && !locked ->
                    condemned = 1; printf("collector: record, the row is condemned\n") }
#ifndef LIVE
        /* record clears the marks of rows that are no longer orphans. (restore is a pin, and a step of a writer.) */
        :: d_step { condemned && !locked -> condemned = 0; printf("collector: record, the mark is cleared\n") }
#endif
        od
}

/* The foreign key's own check of a deleted row. It is omitted elsewhere, since the protocol must not need it. */
#ifdef FK_NET
#define FK_REFUSES (reference != 0 || pin != 0)
#else
#define FK_REFUSES false
#endif

inline purgeRow()
{
        JOURNAL(row);
        YOUNG(youngPurge, row);
        printf("collector: purge, commit: the row is gone, key %d to the journal\n", row);
        row = NONE;
        condemned = 0;
        locked = 0
}

/* The transaction of purge, from its lock to its commit. */
proctype Purge()
{
end:    do
#if defined(ONE_STATEMENT)
        /* Mutant: the statement's snapshot of the references is older than its lock. */
        :: d_step { row != NONE && condemned && unused -> printf("collector: purge, snapshot: unreferenced\n") }
           if
           :: d_step { row != NONE && !FK_REFUSES -> purgeRow() }
           :: d_step { row == NONE || FK_REFUSES -> printf("collector: purge, rolled back\n") }
           fi
#elif defined(NO_RECHECK)
        :: d_step { row != NONE && condemned -> printf("collector: purge, does not check the condemned row again\n") }
           d_step { if :: row != NONE -> purgeRow() :: else fi }
#else
#ifdef DELETE_FIRST
        /* Mutant: the object is deleted before the transaction that decides. */
        :: d_step { row != NONE && condemned && unused -> printf("collector: purge, decides to delete the row\n") }
           d_step { if :: row != NONE -> DROP(object, row);
                    printf("collector: delete of key %d before the purge\n", row) :: else fi }
#else
        :: d_step { row != NONE && condemned && WORKS(1) -> BIND(1); locked = 1;
                    printf("collector: purge, locks the row\n") }
#endif
           /* The second statement: its snapshot is newer than the lock. */
           if
           :: d_step { row != NONE && unused -> purgeRow() }
           :: d_step { row == NONE || !unused -> condemned = 0; locked = 0; printf("collector: purge, absolved\n") }
           :: d_step { FAULT; locked = 0; printf("collector: dies, purge is rolled back\n") }
           fi
#endif
        od
}

/* reapIntents: reaps any intent at any time. */
proctype Reap(byte k)
{
end:    do
        :: d_step { HAS(intent, k) && !unfinished(k) && WORKS(1) -> BIND(1); DROP(intent, k); JOURNAL(k);
                    YOUNG(youngReap, k);
                    printf("collector: reap, the intent of key %d to the journal\n", k) }
        od
}

/* expirePins: ends any pin at any time. */
proctype Expire(byte w)
{
end:    do
        :: d_step { HAS(pin, w) -> DROP(pin, w); printf("collector: the pin of writer %d expires\n", w) }
        od
}

/* A key that a row owns again leaves the journal. Only a writer that uses a key twice can cause this. */
#define CLAIM(k) \
        :: d_step { k < K && HAS(due, k) && row != k && WORKS(1) -> BIND(1); key = k; ADD(lateDelete, k); \
                    printf("collector: claim of key %d\n", k) } \
        :: d_step { k < K && HAS(due, k) && row == k && WORKS(1) -> BIND(1); DROP(journal, k); \
                    printf("collector: claim, key %d is owned again\n", k) } \
           goto start

/* claim, storage.delete, confirm. The lease of a claim may end at once, so several collectors may have one key. */
proctype Delete()
{
        byte key;

start:  key = 0;
end:    if
        CLAIM(0)
        CLAIM(1)
        CLAIM(2)
        CLAIM(3)
        fi;
        if
        :: d_step { DROP(object, key); printf("collector: delete of key %d is acknowledged\n", key) }
        :: d_step { FAULT; printf("collector: dies, or its delete of key %d times out\n", key) }
           goto start
        fi;
        if
        :: d_step { DROP(journal, key); printf("collector: confirm of key %d\n", key) }
        :: d_step { FAULT; printf("collector: dies before it confirms key %d\n", key) }
        fi;
        goto start
}

#define JOURNAL_LEFTOVER(k) ADD(journal, k); printf("collector: leftovers, key %d to the journal\n", k)

/* storage.list, then leftovers.journal: one snapshot of the catalogue, taken after the page was listed. Each key
 * is checked separately, so a listing may take any time. */
proctype Leftovers(byte k)
{
end:    do
#ifdef ASK_FIRST
        :: d_step { !owned(k) -> printf("collector: leftovers, the catalogue does not know key %d\n", k) }
           if
           :: d_step { HAS(object, k) -> JOURNAL_LEFTOVER(k) }
           :: d_step { !HAS(object, k) -> skip }
           fi
#else
        :: d_step { HAS(object, k) && WORKS(1) -> BIND(1); printf("collector: leftovers, LIST shows key %d\n", k) }
           if
           :: d_step { !owned(k) && keptByAge(k) -> printf("collector: leftovers, key %d is of the lost time\n", k) }
           :: d_step { !owned(k) && !keptByAge(k) -> JOURNAL_LEFTOVER(k) }
           :: d_step { owned(k) -> printf("collector: leftovers, key %d is owned\n", k) }
           :: d_step { FAULT; printf("collector: dies, its listing is lost\n") }
           fi
#endif
        od
}

#ifdef SECOND
/* Collector B of another catalogue, with the same tables: the intents and the journal are shared, the rows are not. */
proctype Second(byte k)
{
end:    do
#ifndef BUCKET
        :: d_step { HAS(object, k) && !HAS(intent, k) && SECOND_WORKS -> BIND(2); JOURNAL(k);
                    printf("collector B: leftovers, its catalogue does not know key %d\n", k) }
#endif
        :: d_step { HAS(journal, k) && SECOND_WORKS -> BIND(2);
#ifndef BUCKET
                    DROP(object, k);
#endif
                    DROP(journal, k); printf("collector B: deletes and confirms key %d\n", k) }
        od
}
#endif
