/*  events_texts - the comments of event.proto, made by events.py at each build
 *
 *  Private to events.
 */
#ifndef EVENTS_TEXTS_H
#define EVENTS_TEXTS_H

typedef struct {
    const char *name;  //  "Request", or "Request.ms"
    const char *text;
} events_text_t;

//  Ends with a NULL name.
extern const events_text_t EVENTS_TEXTS[];

#endif
