/*  sink - where what happens at a node is told, if anybody wants to hear it
 *
 *  Invariants
 *    1. (B6) What nobody wants is not built: who tells asks first, one bit.
 *
 *  Cores are lent one and know nothing of who listens: a tap, a test, or nobody
 *  (NULL). Nothing that a core decides depends on it.
 */
#ifndef SINK_H
#define SINK_H

#include "message.h"
#include "millis.h"
#include "peer.h"

#include "rill/v1/event.pb-c.h"

typedef Rill__V1__Event event_t;

//  Which of them: the number of its field in Event, below 64.
typedef Rill__V1__Event__WhatCase event_kind_t;

//  How the answer to a question came about.
typedef struct {
    const char *node;   //  That it was taken from; "": from none
    double ms;          //  How long that one took; 0: not measured
    const char *tried;  //  One that gave no bytes, of several the one that it
    double tried_ms;    //  took longest, and how long; "": none
    double others_ms;   //  How long it took the others of them
    uint64_t joined;    //  The trace it waited with; 0: it waited alone
} sink_source_t;

//  Who is asked for an answer, one after the other, while somebody listens.
//  Begins with all 0; names are lent until its end.
typedef struct {
    const char *asked;  //  Now; NULL: nobody
    micros_t since;
    const char *tried;  //  That gave nothing; NULL: none
    double tried_ms, others_ms;
} sink_tries_t;

typedef struct {
    const char *at;          //  Endpoint where it is heard; "": nowhere
    const char *metrics_at;  //  HOST:PORT of the node's HTTP; NULL: none
    uint64_t wanted;         //  A bit for each kind
    void *with;
    //  It happened now; lent for the call. Number, time, role and node of the
    //  event are filled in.
    void (*tell)(void *with, event_t *event);
    //  The answer that is about to be sent under a question's request.
    void (*sourced)(void *with, const peer_t *asker, uint64_t request,
                    const sink_source_t *source);
    //  A clock for what is told and for nothing else; it never goes back.
    micros_t (*clock_us)(void *with);
} sink_t;

//  An event of one body: its kind as in WHAT_KIND, its member's name, where it
//  is, and what it belongs to.
#define EVENT(KIND, field, body, trace_, stream_, name_)                       \
    {                                                                          \
        PROTOBUF_C_MESSAGE_INIT(&rill__v1__event__descriptor),                 \
            .role = message_lend(""), .node = message_lend(""),                \
            .name = message_lend(name_), .trace = (trace_),                    \
            .stream = (stream_), .what_case = RILL__V1__EVENT__WHAT_##KIND,    \
            .field = (body)                                                    \
    }

//  Whether somebody wants events of a kind, as in WHAT_KIND.
#define SINK_WANTS(sink, KIND) sink_wants(sink, RILL__V1__EVENT__WHAT_##KIND)

static inline bool
sink_wants(const sink_t *self, event_kind_t kind)
{
    return self && (self->wanted >> kind & 1);
}

//  Where the node is to be looked into, for its report.
static inline void
sink_places(const sink_t *self, Rill__V1__Report *report)
{
    if (!self)
        return;
    report->tap_at = message_lend(self->at);
    report->metrics_at = message_lend(self->metrics_at ? self->metrics_at : "");
}

static inline void
sink_tell(const sink_t *self, event_t *event)
{
    self->tell(self->with, event);
}

//  The clock while somebody wants events of a kind, as in WHAT_KIND; else 0.
#define SINK_CLOCK(sink, KIND)                                                 \
    (SINK_WANTS(sink, KIND) ? (sink)->clock_us((sink)->with) : 0)

//  Milliseconds between two times of that clock; 0: one is not known.
static inline double
sink_ms(micros_t from, micros_t to)
{
    return from && to ? (double)(to - from) / 1000 : 0;
}

static inline void
sink_sourced(const sink_t *self, const peer_t *asker, uint64_t request,
             const sink_source_t *source)
{
    if (SINK_WANTS(self, REQUEST))
        self->sourced(self->with, asker, request, source);
}

//  A node is asked now, whoever was before gave nothing; NULL: nobody is.
void sink_tries(const sink_t *self, sink_tries_t *tries, const char *node);

//  A node that was asked then, beside whoever is, was waited for until now.
void sink_waited(const sink_t *self, sink_tries_t *tries, const char *node,
                 micros_t since);

//  The answer is here, from a node; "": from none of them.
sink_source_t sink_found(const sink_t *self, const sink_tries_t *tries,
                         const char *node);

//  Something from outside was refused, unreadable or dropped at a socket
//  (front, receipts, chunks, bus ...): what it was, or "", and its trace.
void sink_fault(const sink_t *self, status_t status, const char *where,
                const char *what, uint64_t trace);

#endif
