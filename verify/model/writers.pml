/* Writers: src/blobs/BlobStore.ts on the verbs of src/database/contract/Blobs.ts.
 *
 * A writer that dies leaves its intent, object, pin or reference behind. It begins again or never returns; the model
 * represents both by the state START. The same holds for a writer that gives up.
 */

/* The foreign key of a reference or a pin takes KEY SHARE on the row. So it waits for a purge and then finds no row
 * (23503). Every operation of a writer on the row waits in this way. */
#define canRefer (row != NONE && !locked)

inline publish(w, key)
{
        d_step {
                DROP(intent, key);
                condemned = 0;
                if
                :: row == NONE ->
                        row = key;
                        printf("writer %d: publish, the row has key %d\n", w, key)
                :: row != NONE && row != key ->
                        JOURNAL(key);
                        printf("writer %d: publish, deduplicated: key %d to the journal\n", w, key)
                :: row == key
                fi
        }
        if
        :: d_step { ADD(reference, w); printf("writer %d: … with a reference, commit\n", w) }
        :: d_step { ADD(pin, w); printf("writer %d: … with a pin, commit\n", w) }
        fi
}

proctype Writer(byte w)
{
        byte key;

start:  key = 0;
end:    if
#ifdef NO_FK
        /* Mutant: reads with a plain SELECT, and inserts a reference that no foreign key checks. */
        :: d_step { row != NONE -> printf("writer %d: sees the row\n", w) }
           d_step { ADD(reference, w); condemned = 0; printf("writer %d: inserts a reference, unchecked\n", w) };
           goto start
#else
        /* adopt: a dedup hit with its reference in the same transaction, which also releases a pin. So this is also
         * the reference to a pinned blob. */
        :: d_step { canRefer && !(HAS(reference, w) && !HAS(pin, w)) ->
                    ADD(reference, w); DROP(pin, w); condemned = 0;
                    printf("writer %d: adopt, reference\n", w) }
           goto start
#endif
        /* adopt with only a pin: a dedup hit whose reference follows later. */
        :: d_step { canRefer && !HAS(pin, w) -> ADD(pin, w); condemned = 0; printf("writer %d: pin\n", w) }
           goto start
        /* unpin: no reference will follow. */
        :: d_step { HAS(pin, w) -> DROP(pin, w); printf("writer %d: unpin\n", w) }
           goto start
        /* intend: announces an upload. It does not matter when adopt found no row. */
#ifdef SAME_KEY
        :: d_step { row == NONE -> key = 0; ADD(intent, key); printf("writer %d: intend, key 0 again\n", w) }
#else
        :: d_step { nextKey < K -> key = nextKey; nextKey++; ADD(intent, key);
                    printf("writer %d: intend, fresh key %d\n", w, key) }
#endif
        OR_NOTHING(goto start)
        fi;

send:   if
#ifdef INTEND_AGAIN
        /* Mutant: the answer of intend was lost, and the writer repeats it. */
        :: d_step { ADD(intent, key); printf("writer %d: intend, key %d once more\n", w, key) }
           goto send
#endif
        :: d_step { ADD(object, key); WRITTEN(key); printf("writer %d: put of key %d is acknowledged\n", w, key) }
        :: d_step { FAULT; ADD(latePut, key); printf("writer %d: put of key %d times out\n", w, key) }
           goto send
        :: d_step { FAULT; printf("writer %d: dies or gives up before its put\n", w) }
           goto start
        fi;

        /* publish: one transaction with the intent under its row lock, the row, and the reference or pin. */
        if
#ifdef PUBLISH_BLIND
        :: atomic { !locked -> publish(w, key) }
#else
        :: atomic { !locked && HAS(intent, key) -> publish(w, key) }
        :: d_step { !HAS(intent, key) -> printf("writer %d: publish, key %d was reaped: begins again\n", w, key) }
#endif
        :: d_step { FAULT; printf("writer %d: dies before its publish of key %d\n", w, key) }
        fi;
        goto start
}

/* unreference: by any process, at any time, or never. */
proctype Unreference(byte w)
{
end:    do
        :: d_step { HAS(reference, w) -> DROP(reference, w);
                    if :: w == 0 -> reading = NONE :: else fi;
                    printf("user: unreference of writer %d\n", w) }
        OR_NOTHING(skip)
        od
}
