/*  ask - how a verb reads its words and meets a node that says no
 *
 *  Every function that can fail says why on stderr, in one sentence, and gives
 *  the exit code.
 */
#ifndef ASK_H
#define ASK_H

#include "client.h"
#include "json.h"
#include "words.h"

//  A client of the node that the words name. 0, or the exit code.
int ask_open(const words_t *words, client_t **client_r);

//  Say that a question about `name` (NULL: about none) failed with `status`;
//  the client's own text is used. Returns the exit code.
int ask_fail(const words_t *words, const client_t *client, status_t status,
             const char *name);

//  The same with another text.
int ask_fail_saying(const words_t *words, status_t status, const char *name,
                    const char *text);

//  What the stream is that is to be written. While it is being recovered after
//  a restart of the forwarder, ask again, for so long (0: as a source waits).
status_t ask_describe(client_t *client, const char *name, millis_t wait_ms,
                      message_t **answer_r);

//  --wait as it was said, in milliseconds; left alone when it was not.
int ask_wait(const words_t *words, millis_t *wait_ms_r);

//  Whether a stream may be called that; 0, or says what would be legal.
int ask_name(const words_t *words, const char *name);

//  --protect, --chunk as they were said; left alone when they were not.
int ask_code(const words_t *words, code_t *code_r);
int ask_chunk(const words_t *words, uint32_t *chunk_r);

//  "4+2"; "none" for 1+0. Returns `text_r`.
#define ASK_CODE_BYTES 32
char *ask_code_text(unsigned k, unsigned m, char text_r[ASK_CODE_BYTES]);

//  Start a JSON text on standard output, in an object; and end it.
void ask_json_begin(json_t *json);
void ask_json_end(json_t *json);

//  A 64-bit id, as a string of 16 hexadecimal digits.
void ask_json_id(json_t *json, const char *key, uint64_t id);

#endif
