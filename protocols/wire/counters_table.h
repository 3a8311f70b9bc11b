/*  counters_table - all that the nodes count, once
 *
 *  FAMILY(name, TYPE, HELP) opens a family: "rill_" before its name, base units
 *  in it; TYPE is TOTAL (it grows from the node's start on) or GAUGE. Then
 *  SERIES(family, suffix, roles, labels) for each of its series; ROLES are the
 *  letters of those that tell it: F(orwarder), W(orker), C(ache), D(irector);
 *  labels come from IS, one value of a closed set each, or are "".
 *  COUNTER_<family><suffix> is its number in counters.h.
 *
 *  TIMES(name, HELP) opens a histogram, in seconds; SPAN is its SERIES, and
 *  TIME_<family><suffix> its number.
 */
#ifndef COUNTERS_TABLE_H
#define COUNTERS_TABLE_H

#define IS(label, value) "{" #label "=\"" #value "\"}"
#define ARE(label, value, other, its)                                          \
    "{" #label "=\"" #value "\"," #other "=\"" #its "\"}"

// clang-format off
#define COUNTERS_MESSAGES(FAMILY, SERIES)                                      \
FAMILY(messages_received_total, TOTAL,                                         \
       "Messages that came to this node's sockets.")                           \
SERIES(messages_received_total, , F|C, "")                                     \
FAMILY(messages_total, TOTAL,                                                  \
       "How those messages ended; together they are all that came.")           \
SERIES(messages_total, _taken, F|C, IS(result, taken))                         \
SERIES(messages_total, _refused, F|C, IS(result, refused))                     \
SERIES(messages_total, _dropped, F, IS(result, dropped))                       \
SERIES(messages_total, _unreadable, F|C, IS(result, unreadable))               \
FAMILY(messages_unreadable_total, TOTAL,                                       \
       "Of the unreadable messages: over a limit, or of another version.")     \
SERIES(messages_unreadable_total, _too_large, F|C, IS(reason, too_large))      \
SERIES(messages_unreadable_total, _version, F|C, IS(reason, version))          \
FAMILY(requests_refused_total, TOTAL, "Questions that were refused.")          \
SERIES(requests_refused_total, , F|D, "")                                      \
FAMILY(answers_unsent_total, TOTAL,                                            \
       "Answers that who asked did not take: gone, or its queue full.")        \
SERIES(answers_unsent_total, , F|C, "")                                        \
FAMILY(answers_busy_total, TOTAL,                                              \
       "Payload that was too much to be lent to who asked: told BUSY.")        \
SERIES(answers_busy_total, , C, "")                                            \
FAMILY(sockets_flooded_total, TOTAL,                                           \
       "Sockets closed and bound again because peers filled the memory.")      \
SERIES(sockets_flooded_total, , F|W|C, "")                                     \
FAMILY(faults_total, TOTAL,                                                    \
       "What came from outside and was not as it should be, by reason.")       \
SERIES(faults_total, _misplaced, F|C, IS(reason, misplaced))                   \
SERIES(faults_total, _hello_repeated, F, IS(reason, hello_repeated))           \
SERIES(faults_total, _hello_strange, F, IS(reason, hello_strange))             \
SERIES(faults_total, _inventory_foreign, F, IS(reason, inventory_foreign))     \
SERIES(faults_total, _worker_unknown, F, IS(reason, worker_unknown))           \
SERIES(faults_total, _session_unknown, F, IS(reason, session_unknown))         \
SERIES(faults_total, _piece_out_of_order, F, IS(reason, piece_out_of_order))   \
SERIES(faults_total, _receipt_foreign, F, IS(reason, receipt_foreign))         \
SERIES(faults_total, _receipt_stale, F, IS(reason, receipt_stale))             \
SERIES(faults_total, _stream_unknown, F, IS(reason, stream_unknown))           \
SERIES(faults_total, _chunk_corrupt, C, IS(reason, chunk_corrupt))

#define COUNTERS_ORIGIN(FAMILY, SERIES)                                        \
FAMILY(received_bytes_total, TOTAL, "Bytes that came from sources.")           \
SERIES(received_bytes_total, , F, "")                                          \
FAMILY(stored_bytes_total, TOTAL,                                              \
       "Of these, safe against the loss of any one worker.")                   \
SERIES(stored_bytes_total, , F, "")                                            \
FAMILY(settled_bytes_total, TOTAL,                                             \
       "Of these, as safe as their protection says.")                          \
SERIES(settled_bytes_total, , F, "")                                           \
FAMILY(memory_bytes, GAUGE, "Held in chunks that are not settled yet.")        \
SERIES(memory_bytes, , F, "")                                                  \
FAMILY(memory_limit_bytes, GAUGE, "As much may be held in them.")              \
SERIES(memory_limit_bytes, , F, "")                                            \
FAMILY(catalogue_bytes, GAUGE, "On disk, of the catalogue.")                   \
SERIES(catalogue_bytes, , F, "")                                               \
FAMILY(streams, GAUGE,                                                         \
       "Streams, by state; waiting: nobody is answered about them, because "   \
       "they wait for workers or are being recovered.")                        \
SERIES(streams, _open, F, IS(state, open))                                     \
SERIES(streams, _waiting, F, IS(state, waiting))                               \
SERIES(streams, _sealed, F, IS(state, sealed))                                 \
SERIES(streams, _known, C, IS(state, known))                                   \
FAMILY(workers, GAUGE, "Storage workers, by state.")                           \
SERIES(workers, _live, F, IS(state, live))                                     \
SERIES(workers, _full, F, IS(state, full))                                     \
SERIES(workers, _joining, F, IS(state, joining))                               \
SERIES(workers, _waiting, F, IS(state, waiting))                               \
SERIES(workers, _away, F, IS(state, away))                                     \
FAMILY(workers_departed_total, TOTAL, "Workers that left the queue.")          \
SERIES(workers_departed_total, , F, "")                                        \
FAMILY(under_protected_blocks, GAUGE,                                          \
       "Settled blocks that lack a chunk; looked at every ten seconds.")       \
SERIES(under_protected_blocks, , F, "")                                        \
FAMILY(blocks_redealt_total, TOTAL,                                            \
       "Blocks pushed once more because a worker left.")                       \
SERIES(blocks_redealt_total, , F, "")                                          \
FAMILY(reads_total, TOTAL,                                                     \
       "Chunks the origin read: from what is not settled yet, from those "     \
       "read lately, from a worker, or decoded from the others of a block.")   \
SERIES(reads_total, _memory, F, IS(route, memory))                             \
SERIES(reads_total, _kept, F, IS(route, kept))                                 \
SERIES(reads_total, _store, F, IS(route, store))                               \
SERIES(reads_total, _decoded, F, IS(route, decoded))                           \
FAMILY(reads_failed_total, TOTAL,                                              \
       "Reads of a worker that gave a wrong chunk, or none in time.")          \
SERIES(reads_failed_total, _corrupt, F, IS(reason, corrupt))                   \
SERIES(reads_failed_total, _late, F, IS(reason, late))                         \
FAMILY(records_swept_total, TOTAL,                                             \
       "Records that workers gave back because they never counted.")           \
SERIES(records_swept_total, , F, "")

#define COUNTERS_TREE(FAMILY, SERIES)                                          \
FAMILY(sessions, GAUGE, "Terminals that watch a stream here.")                 \
SERIES(sessions, , F|C, "")                                                    \
FAMILY(sessions_stalled, GAUGE, "Of these, out of credit.")                    \
SERIES(sessions_stalled, , F|C, "")                                            \
FAMILY(grants, GAUGE, "Nodes below that carry a stream from here.")            \
SERIES(grants, , F|C, "")                                                      \
FAMILY(flights, GAUGE, "Chunks that are being fetched.")                       \
SERIES(flights, , F|C, "")                                                     \
FAMILY(chunks_taken_total, TOTAL,                                              \
       "Chunks that came in, by where from; up: older than the window.")       \
SERIES(chunks_taken_total, _sibling, C, IS(route, sibling))                    \
SERIES(chunks_taken_total, _parent, C, IS(route, parent))                      \
SERIES(chunks_taken_total, _up, C, IS(route, up))                              \
SERIES(chunks_taken_total, _disk, C, IS(route, disk))                          \
FAMILY(taken_bytes_total, TOTAL, "Bytes that came in from other nodes.")       \
SERIES(taken_bytes_total, , C, "")                                             \
FAMILY(given_bytes_total, TOTAL,                                               \
       "Bytes that went out: in sessions, in answers and published.")          \
SERIES(given_bytes_total, , F|C, "")                                           \
FAMILY(chunks_published_total, TOTAL, "Live chunks, once per topic.")          \
SERIES(chunks_published_total, , F|C, "")                                      \
FAMILY(chunks_delivered_total, TOTAL, "Chunks sent in sessions.")              \
SERIES(chunks_delivered_total, , F|C, "")                                      \
FAMILY(delivered_bytes_total, TOTAL, "Bytes sent in sessions.")                \
SERIES(delivered_bytes_total, , F|C, "")                                       \
FAMILY(answers_held_total, TOTAL,                                              \
       "Asks answered at once from what is held.")                             \
SERIES(answers_held_total, , F|C, "")                                          \
FAMILY(behind_bytes, GAUGE,                                                    \
       "Live bytes that exist and are not here yet, of the worst stream.")     \
SERIES(behind_bytes, , C, "")                                                  \
FAMILY(asks_late_total, TOTAL,                                                 \
       "Questions to other nodes that were not answered in time.")             \
SERIES(asks_late_total, , C, "")                                               \
FAMILY(window_bytes, GAUGE, "Held, by where.")                                 \
SERIES(window_bytes, _memory, F|C, IS(place, memory))                          \
SERIES(window_bytes, _disk, C, IS(place, disk))                                \
FAMILY(window_chunks, GAUGE, "Chunks held, by where.")                         \
SERIES(window_chunks, _memory, F|C, IS(place, memory))                         \
SERIES(window_chunks, _disk, C, IS(place, disk))                               \
FAMILY(window_disk_failed_total, TOTAL,                                        \
       "Chunks that the window's disk did not take, or not give back.")        \
SERIES(window_disk_failed_total, _refused, C, IS(reason, refused))             \
SERIES(window_disk_failed_total, _lost, C, IS(reason, lost))                   \
FAMILY(packets_received_total, TOTAL, "Packets of siblings.")                  \
SERIES(packets_received_total, , C, "")                                        \
FAMILY(packets_sent_total, TOTAL, "Packets to siblings.")                      \
SERIES(packets_sent_total, , C, "")                                            \
FAMILY(packets_dropped_total, TOTAL,                                           \
       "Packets of no sibling, without the group's tag, or too many.")         \
SERIES(packets_dropped_total, _unknown, C, IS(reason, unknown))                \
SERIES(packets_dropped_total, _strange, C, IS(reason, strange))                \
SERIES(packets_dropped_total, _overflow, C, IS(reason, overflow))              \
FAMILY(caches, GAUGE, "Caches: that report, and in the cluster file.")         \
SERIES(caches, _live, D, IS(state, live))                                      \
SERIES(caches, _known, D, IS(state, known))                                    \
FAMILY(loads_total, TOTAL, "Reports of caches.")                               \
SERIES(loads_total, , D, "")                                                   \
FAMILY(terminals_asked_total, TOTAL, "Questions where to watch.")              \
SERIES(terminals_asked_total, , D, "")                                         \
FAMILY(offers_total, TOTAL, "Answers that name a cache.")                      \
SERIES(offers_total, , D, "")

//  Each message of a worker ends in one result of its socket, but for an ask
//  whose read is still open and the chunk that a full store makes wait.
#define COUNTERS_WORKER(FAMILY, SERIES)                                        \
FAMILY(store_chunks, GAUGE, "Chunks on this worker's disk.")                   \
SERIES(store_chunks, , W, "")                                                  \
FAMILY(store_bytes, GAUGE, "Bytes of payload in them.")                        \
SERIES(store_bytes, , W, "")                                                   \
FAMILY(store_free_bytes, GAUGE, "Space that is left.")                         \
SERIES(store_free_bytes, , W, "")                                              \
FAMILY(store_limit_bytes, GAUGE, "Space that this worker may use.")            \
SERIES(store_limit_bytes, , W, "")                                             \
FAMILY(store_corrupt_total, TOTAL, "Records found to be wrong.")               \
SERIES(store_corrupt_total, , W, "")                                           \
FAMILY(unreceipted_chunks, GAUGE, "Chunks taken and not yet receipted.")       \
SERIES(unreceipted_chunks, , W, "")                                            \
FAMILY(worker_messages_received_total, TOTAL,                                  \
       "Messages that came to a worker, by socket.")                           \
SERIES(worker_messages_received_total, _forwarder, W, IS(socket, forwarder))   \
SERIES(worker_messages_received_total, _chunks, W, IS(socket, chunks))         \
SERIES(worker_messages_received_total, _front, W, IS(socket, front))           \
SERIES(worker_messages_received_total, _unreadable, W, IS(socket, unreadable)) \
FAMILY(worker_messages_total, TOTAL,                                           \
       "How they ended; of a socket together they are all that came there.")   \
ENDS(SERIES, forwarder, welcome)        /* Taken: a session begins */          \
ENDS(SERIES, forwarder, old_welcome)    /* To an older Hello, or none */       \
ENDS(SERIES, forwarder, old_term)       /* Of a lower term (house 8) */        \
ENDS(SERIES, forwarder, bad_welcome)    /* Lacks something */                  \
ENDS(SERIES, forwarder, other_cluster)                                         \
ENDS(SERIES, forwarder, not_kept)       /* No disk took its term */            \
ENDS(SERIES, forwarder, kept)           /* The session is renewed */           \
ENDS(SERIES, forwarder, old_kept)       /* Of another session */               \
ENDS(SERIES, forwarder, refused)        /* Our Hello or session is refused */  \
ENDS(SERIES, forwarder, old_refused)    /* Refuses what is over already */     \
ENDS(SERIES, forwarder, stopping)       /* Came while this worker goes down */ \
ENDS(SERIES, forwarder, kind)           /* Has no business here */             \
ENDS(SERIES, chunks, taken)             /* Given to the store */               \
ENDS(SERIES, chunks, failed)            /* Not taken: receipted as failed */   \
ENDS(SERIES, chunks, old_term)          /* Not the session's */                \
ENDS(SERIES, chunks, old_session)       /* Of another session */               \
ENDS(SERIES, chunks, early)             /* Before the inventory */             \
ENDS(SERIES, chunks, header)            /* Its header is not one */            \
ENDS(SERIES, chunks, length)            /* Payload of another length */        \
ENDS(SERIES, chunks, swept)             /* Of a block that a Sweep named */    \
ENDS(SERIES, chunks, choked)            /* Read though none was to be */       \
ENDS(SERIES, chunks, left_over)         /* Waited as its session ended */      \
ENDS(SERIES, chunks, stopping)          /* Came while this worker goes down */ \
ENDS(SERIES, chunks, kind)              /* Has no business here */             \
ENDS(SERIES, front, answered)                                                  \
ENDS(SERIES, front, refused)                                                   \
ENDS(SERIES, front, unsaid)             /* The answer could not be sent */     \
FAMILY(refusals_total, TOTAL, "What a worker refused, by why.")                \
SERIES(refusals_total, _argument, W, IS(reason, argument))                     \
SERIES(refusals_total, _kind, W, IS(reason, kind))                             \
SERIES(refusals_total, _miss, W, IS(reason, miss))                             \
SERIES(refusals_total, _gone, W, IS(reason, gone))                             \
SERIES(refusals_total, _fenced, W, IS(reason, fenced))                         \
SERIES(refusals_total, _busy, W, IS(reason, busy))                             \
SERIES(refusals_total, _stopping, W, IS(reason, stopping))                     \
SERIES(refusals_total, _io, W, IS(reason, io))                                 \
SERIES(refusals_total, _corrupt, W, IS(reason, corrupt))                       \
SERIES(refusals_total, _other, W, IS(reason, other))                           \
FAMILY(hellos_total, TOTAL, "Hellos to the forwarder; unsaid: not taken.")     \
SERIES(hellos_total, _said, W, IS(result, said))                               \
SERIES(hellos_total, _unsaid, W, IS(result, unsaid))                           \
FAMILY(keeps_total, TOTAL, "Keeps to the forwarder; unsaid: not taken.")       \
SERIES(keeps_total, _said, W, IS(result, said))                                \
SERIES(keeps_total, _unsaid, W, IS(result, unsaid))                            \
FAMILY(worker_sessions_total, TOTAL,                                           \
       "Sessions: whose inventory was told; ended because the forwarder was "  \
       "silent; or because the inventory could not be read.")                  \
SERIES(worker_sessions_total, _served, W, IS(result, served))                  \
SERIES(worker_sessions_total, _silent, W, IS(result, silent))                  \
SERIES(worker_sessions_total, _unreadable, W, IS(result, unreadable))          \
FAMILY(commits_total, TOTAL,                                                   \
       "What the disk told of chunks; unasked: of one that did not wait.")     \
SERIES(commits_total, _durable, W, IS(result, durable))                        \
SERIES(commits_total, _failed, W, IS(result, failed))                          \
SERIES(commits_total, _unasked, W, IS(result, unasked))                        \
FAMILY(store_choked_total, TOTAL, "Times that the store's queue was full.")    \
SERIES(store_choked_total, , W, "")                                            \
FAMILY(receipts_total, TOTAL, "Receipts to the forwarder; unsent: tries.")     \
SERIES(receipts_total, _sent, W, IS(result, sent))                             \
SERIES(receipts_total, _unsent, W, IS(result, unsent))                         \
FAMILY(receipted_chunks_total, TOTAL,                                          \
       "Chunks receipted, or not because their session was over.")             \
SERIES(receipted_chunks_total, _stored, W, IS(result, stored))                 \
SERIES(receipted_chunks_total, _failed, W, IS(result, failed))                 \
SERIES(receipted_chunks_total, _over, W, IS(result, over))

#define ENDS(SERIES, from, how)                                                \
SERIES(worker_messages_total, _##from##_##how, W,                              \
       ARE(socket, from, result, how))

#define COUNTERS(FAMILY, SERIES)                                               \
COUNTERS_MESSAGES(FAMILY, SERIES)                                              \
COUNTERS_ORIGIN(FAMILY, SERIES)                                                \
COUNTERS_TREE(FAMILY, SERIES)                                                  \
COUNTERS_WORKER(FAMILY, SERIES)

#define COUNTERS_TIMES(TIMES, SPAN)                                            \
TIMES(acknowledgement_seconds,                                                 \
      "From a block's first chunk to the word that it is stored.")             \
SPAN(acknowledgement_seconds, , F, "")                                         \
TIMES(request_seconds, "From an ask to its answer, by the route it took.")     \
SPAN(request_seconds, _local, F|C, IS(route, local))                           \
SPAN(request_seconds, _sibling, C, IS(route, sibling))                         \
SPAN(request_seconds, _parent, C, IS(route, parent))                           \
SPAN(request_seconds, _up, C, IS(route, up))                                   \
SPAN(request_seconds, _store, F, IS(route, store))                             \
SPAN(request_seconds, _decoded, F, IS(route, decoded))                         \
SPAN(request_seconds, _refused, F|C, IS(route, refused))                       \
TIMES(commit_seconds, "From a chunk's arrival to its receipt being owed.")     \
SPAN(commit_seconds, , W, "")                                                  \
TIMES(hop_seconds, "From a question to another node to its answer.")           \
SPAN(hop_seconds, _sibling, C, IS(route, sibling))                             \
SPAN(hop_seconds, _parent, C, IS(route, parent))
//  Of each stream that is told by its name, from its StreamReport.
#define COUNTERS_STREAMS(FAMILY)                                               \
FAMILY(stream_watchers, GAUGE, "Terminals that watch it here.",                \
       told->watchers)                                                         \
FAMILY(stream_end_bytes, GAUGE, "Bytes that exist, as far as is known here.",  \
       told->head)                                                             \
FAMILY(stream_behind_bytes, GAUGE,                                             \
       "Of these, what is live and not here yet.",                             \
       *told->source && told->head > told->reached ?                           \
           told->head - told->reached : 0)                                     \
FAMILY(stream_window_bytes, GAUGE, "Held of it.", told->window_bytes)          \
FAMILY(stream_taken_bytes_total, TOTAL, "That came from other nodes.",         \
       told->bytes_from_parents + told->bytes_from_siblings)                   \
FAMILY(stream_given_bytes_total, TOTAL, "That went out.", told->bytes_given)
// clang-format on

#endif
