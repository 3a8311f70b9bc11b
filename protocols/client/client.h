/*  client - one forwarder or cache, asked over a socket
 *
 *  Invariants
 *    1. A node that is not there is told within CLIENT_REACH_MS, whatever is
 *       asked; a question always ends with an answer or a status.
 *    2. An answer belongs to the question: what comes late for another one is
 *       dropped.
 *    3. Every request bears a random trace: a question, an ask of a reading, a
 *       session, a source.
 *    4. Time that a taker takes is not time that a reader waits: one that is
 *       paused for an hour goes on then.
 *
 *  The transport of the cores publisher and reader, and the questions that
 *  have one answer. Blocking, for programs; one client is used in one thread.
 *  A process calls sockets_begin once before it makes a client.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "publisher.h"
#include "reader.h"
#include "watcher.h"

#define CLIENT_REACH_MS 3000    //  To get a connection
#define CLIENT_ANSWER_MS 15000  //  To get an answer, once connected

typedef struct client client_t;

//  A client of the node at "HOST:PORT". STATUS_ADDRESS: that is no address.
//  Whether anybody is there shows with the first question. The caller owns it.
status_t client_new(const char *at, client_t **self_r);

//  Close it; what was said has a moment to leave. Null is fine.
void client_destroy(client_t **self_p);

//  Why the last question failed, in a sentence, as the node said it or as we
//  found it. Lent until the next question.
const char *client_text(const client_t *self);

//  The offset that a refusal of the last question gave, else 0.
uint64_t client_offset(const client_t *self);

//  Ask and wait. `question` needs no request. STATUS_OK: `*answer_r` is the
//  answer, to be freed with message_free. STATUS_UNREACHABLE: nobody is there;
//  STATUS_LATE: no answer came; else what the node refused it with.
status_t client_ask(client_t *self, message_t *question, message_t **answer_r);

//  What is this stream? `described` of the answer.
status_t client_describe(client_t *self, const char *name,
                         message_t **answer_r);

//  Streams by name, after `after` ("": from the first). `listing`.
status_t client_list(client_t *self, const char *after, message_t **answer_r);

//  Where a stream's chunks lie, from an offset on; with `parity` the parity
//  chunks too. `layout`.
status_t client_list_chunks(client_t *self, uint64_t stream, uint64_t from,
                            bool parity, message_t **answer_r);

//  Forget a stream. `removed`.
status_t client_remove(client_t *self, const char *name, message_t **answer_r);

//  What a stream that waits for workers would lose without them; with
//  `accept_loss` it goes on without. `settled`.
status_t client_settle(client_t *self, const char *name, bool accept_loss,
                       message_t **answer_r);

//  Which caches to ask for a stream (NULL: any), in their order; of a director
//  or of any cache. `address` in figures: as if asked from there; NULL: from
//  here. `watch`: I go there. `offer`.
status_t client_where(client_t *self, const char *name, const char *address,
                      bool watch, message_t **answer_r);

//  How is the node? `report`.
status_t client_status(client_t *self, message_t **answer_r);

//  What the owner of a running publisher or reader wants next.
typedef struct {
    int fd;       //  Call again when it is readable; -1: none
    millis_t at;  //  Call again at this time; MILLIS_NEVER: when need be
    bool stop;    //  End it now
} client_turn_t;

//  Called after everything that happened; offers what it has.
typedef void client_offer_fn(void *with, publisher_t *publisher,
                             client_turn_t *turn, millis_t now);

//  Run a source until it is sealed or fails or its owner says stop, which
//  leaves the stream open. The state at the end is in `state_r`; returns its
//  `failed`, which is STATUS_OK too when the owner stopped it.
status_t client_publish(client_t *self, const publisher_settings_t *settings,
                        client_offer_fn *offer, void *with,
                        publisher_state_t *state_r);

//  What a reading hands to its owner; `turn` may be NULL.
typedef struct {
    status_t (*deliver)(void *with, uint64_t offset, buffer_t *bytes);
    status_t (*skip)(void *with, uint64_t from, uint64_t to);
    void (*turn)(void *with, const reader_state_t *state, client_turn_t *turn,
                 millis_t now);
} client_taker_t;

//  Read a range until it is done or fails or its owner says stop. The state at
//  the end is in `state_r`; returns its `failed`.
status_t client_read(client_t *self, const reader_settings_t *settings,
                     const client_taker_t *taker, void *with,
                     reader_state_t *state_r);

//  What watching hands to its owner; `turn` may be NULL.
typedef struct {
    status_t (*deliver)(void *with, uint64_t offset, buffer_t *bytes,
                        const chunk_header_t *chunk);
    status_t (*skip)(void *with, uint64_t from, uint64_t to);
    void (*turn)(void *with, const watcher_state_t *state, client_turn_t *turn,
                 millis_t now);
} client_viewer_t;

//  Watch a stream until it ends or fails or its owner says stop. A node that is
//  silent or cannot go on is left for the next of `places` (HOST:PORT, the best
//  first, lent; NULL or empty: only the client's own), round and round. The
//  state at the end is in `state_r`; returns its `failed`.
status_t client_watch(client_t *self, const watcher_settings_t *settings,
                      const char *const *places, size_t places_count,
                      const client_viewer_t *viewer, void *with,
                      watcher_state_t *state_r);

#endif
