/*  tally - every way in which a message ends at a worker, counted (house 21)
 *
 *  forwarder_in, store_in and ask_in count what came; each message then ends
 *  in exactly one counter of the same group, so that
 *    forwarder_in = the sum of the forwarder_… counters that follow it,
 *    store_in     = the sum of the store_… counters that follow it,
 *    ask_in       = the sum of the ask_… counters that follow it,
 *  but for an ask whose read is still open and the chunk that a full store
 *  makes wait. The names travel in Report.counters.
 */
#ifndef TALLY_H
#define TALLY_H

#define TALLY(COUNT)                                                           \
    COUNT(forwarder_in)                                                        \
    COUNT(forwarder_welcome)       /* Taken: a session begins */               \
    COUNT(forwarder_old_welcome)   /* Answers an older Hello, or none */       \
    COUNT(forwarder_old_term)      /* A Welcome of a lower term (house 8) */   \
    COUNT(forwarder_bad_welcome)   /* No session, term, cluster or address */  \
    COUNT(forwarder_other_cluster) /* A Welcome of another cluster */          \
    COUNT(forwarder_not_kept)      /* A Welcome whose term no disk took */     \
    COUNT(forwarder_kept)          /* The session is renewed */                \
    COUNT(forwarder_old_kept)      /* Of another session */                    \
    COUNT(forwarder_refused)       /* Our Hello or session is refused */       \
    COUNT(forwarder_old_refused)   /* Refuses what is over already */          \
    COUNT(forwarder_stopping)      /* Came while this worker goes down */      \
    COUNT(forwarder_kind)          /* Has no business here */                  \
    COUNT(store_in)                                                            \
    COUNT(store_taken)       /* Given to the store */                          \
    COUNT(store_failed)      /* Not taken by the store: receipted as failed */ \
    COUNT(store_old_term)    /* Of another term than the session's */          \
    COUNT(store_old_session) /* Of another session */                          \
    COUNT(store_early)       /* Of no session, or before the inventory */      \
    COUNT(store_header)      /* Its header is not one */                       \
    COUNT(store_length)      /* Its payload is not as long as it says */       \
    COUNT(store_swept)       /* Of a block that a Sweep has named */           \
    COUNT(store_choked)      /* Read though no more were to be read */         \
    COUNT(store_left_over)   /* Waited for room when its session ended */      \
    COUNT(store_stopping)    /* Came while this worker goes down */            \
    COUNT(store_kind)        /* Has no business here */                        \
    COUNT(ask_in)                                                              \
    COUNT(ask_answered)                                                        \
    COUNT(ask_refused) /* With a status that refused_… counts */             \
    COUNT(ask_unsaid)  /* The answer could not be sent */                      \
    COUNT(refused_argument)                                                    \
    COUNT(refused_kind)                                                        \
    COUNT(refused_miss)                                                        \
    COUNT(refused_gone)                                                        \
    COUNT(refused_fenced)                                                      \
    COUNT(refused_busy)                                                        \
    COUNT(refused_stopping)                                                    \
    COUNT(refused_io)                                                          \
    COUNT(refused_corrupt)                                                     \
    COUNT(refused_other)                                                       \
    COUNT(bad_in)  /* Could not be read as a message */                        \
    COUNT(flooded) /* Sockets closed and bound again, for their memory */      \
    COUNT(hello_said)                                                          \
    COUNT(hello_unsaid) /* Nobody took it */                                   \
    COUNT(keep_said)                                                           \
    COUNT(keep_unsaid)                                                         \
    COUNT(session_served)     /* Inventories sent whole */                     \
    COUNT(session_silent)     /* Ended by silence */                           \
    COUNT(session_unreadable) /* The inventory could not be read */            \
    COUNT(durable)            /* Keys the store told durable */                \
    COUNT(failed)             /* Keys the store told failed */                 \
    COUNT(unasked)            /* Keys told that did not wait */                \
    COUNT(choked)             /* Times the store's queue was full */           \
    COUNT(receipt_sent)       /* Messages */                                   \
    COUNT(receipt_unsent)     /* Tries that the socket did not take */         \
    COUNT(receipt_stored)     /* Keys receipted as stored */                   \
    COUNT(receipt_failed)     /* Keys receipted as failed */                   \
    COUNT(receipt_over)       /* Keys whose session was over */

#define TALLY_NUMBER(name) TALLY_##name,
typedef enum { TALLY(TALLY_NUMBER) TALLY_COUNT } tally_t;
#undef TALLY_NUMBER

#endif
