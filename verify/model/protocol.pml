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
                run Condemn();
                run Purge();
#ifndef LIVE
                run Reader();
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
