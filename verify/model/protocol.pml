/* The protocol of docs/design/protocol.md as a model for spin. docs/design/model.md explains it. Searches.ts has the
 * searches. */
#include "world.pml"
#include "writers.pml"
#include "collectors.pml"
#include "witnesses.pml"

#ifdef LOST_COMMITS
/* The replica receives a commit, or takes over without one purge or reap. */
proctype Replica(byte k)
{
end:    do
        :: d_step { HAS(youngPurge | youngReap, k) -> DROP(youngPurge, k); DROP(youngReap, k);
                    printf("replica: receives the commit of key %d\n", k) }
        :: d_step { HAS(youngPurge, k) && !failedOver && row == NONE ->
                    failedOver = 1; DROP(youngPurge, k); DROP(journal, k); row = k;
                    printf("failover: the purge of key %d is lost\n", k) }
        :: d_step { HAS(youngReap, k) && !failedOver ->
                    failedOver = 1; DROP(youngReap, k); DROP(journal, k); ADD(intent, k);
                    printf("failover: the reaping of key %d is lost\n", k) }
        od
}
#endif

#ifdef RESTORE
/* A backup, and its restore. No purge is under way then, and writers whose transactions were lost begin again. */
proctype Restore()
{
        d_step { !locked -> backedUp = 1; oldRow = row; oldReference = reference; oldPin = pin; oldIntent = intent;
                 oldJournal = journal; oldCondemned = condemned; printf("operator: makes a backup\n") };
        d_step { !locked ->
                 if :: row != NONE && row != oldRow && HAS(object, row) && !HAS(oldJournal, row) -> ADD(lost, row)
                    :: else fi;
                 restored = 1; row = oldRow; reference = oldReference; pin = oldPin; intent = oldIntent;
                 journal = oldJournal; condemned = oldCondemned;
                 /* Of the backup only the intents are asked for again. Fewer values, fewer states. */
                 oldRow = NONE; oldReference = 0; oldPin = 0; oldJournal = 0; oldCondemned = 0; printf("operator: restores the backup\n") }
}
#endif

init {
        byte i;
        atomic {
                for (i : 0 .. W - 1) {
                        run Writer(i);
                        run Unreference(i);
#ifndef NO_EXPIRY
                        run Expire(i)
#endif
                }
                for (i : 0 .. K - 1) {
                        run Network(i);
#ifndef NO_REAPER
                        run Reap(i);
#endif
#ifndef NO_LEFTOVERS
                        run Leftovers(i);
#endif
#ifdef LOST_COMMITS
                        run Replica(i)
#endif
                }
                for (i : 1 .. C) { run Delete() }
#ifdef RESTORE
                run Restore();
#endif
#ifdef SECOND
                for (i : 0 .. K - 1) { run Second(i) }
#endif
                run Condemn();
                run Purge();
#ifndef LIVE
#ifndef RESTORE
                run Reader();
#endif
                run Invariants();
#endif
#ifdef WITNESS
                run Witness();
#endif
                i = 0
        }
}

#ifdef LIVE
#define kept(k) (!garbage(k))
ltl i3 { ([]<> kept(0))
#if K > 1
        && ([]<> kept(1))
#endif
        && ([]<> !HAS(pin, 0)) }
#endif
