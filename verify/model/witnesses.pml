/* Witnesses: situations that must be reachable. Without them, a model that cannot do enough would hold, too. */
#ifdef WITNESS
#if WITNESS == 1        /* A blob has its second key while a DELETE of the first is under way. */
#define SITUATION (row == 1 && HAS(reference, 0) && HAS(lateDelete, 0))
#elif WITNESS == 2      /* Every key was used, and nothing is left. */
#define SITUATION (nextKey == K && row == NONE && intent == 0 && journal == 0 && object == 0 && pin == 0)
#elif WITNESS == 3      /* A PUT took effect after its key's object had been deleted, and the listing found it. */
#define SITUATION (HAS(latePut, 0) && HAS(lateDelete, 0) && HAS(object, 0) && HAS(journal, 0))
#elif WITNESS == 4      /* A purge has locked a row that is referenced. It was condemned by an outdated scan. */
#define SITUATION (locked && reference != 0)
#elif WITNESS == 5      /* A reader has found the key, and the row is condemned before it fetches. */
#define SITUATION (reading != NONE && condemned && pin != 0)
#endif

proctype Witness()
{
end:    d_step { SITUATION -> printf("REACHED\n"); assert(false) }
}
#endif
