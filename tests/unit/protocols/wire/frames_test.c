#include "frames.h"

#include <string.h>

#include "proof.h"
#include "sockets.h"

//  Two joined sockets of rill, or one of them raw for what a stranger sends.
typedef struct {
    zsock_t *far, *near;
} pair_t;

static const char *const ANY = "tcp://127.0.0.1:0";
static const char *const INSIDE = "inproc://frames-test";

static pair_t
join(socket_kind_t bound, socket_kind_t connected, const char *at)
{
    pair_t pair;
    char endpoint[ENDPOINT_BYTES];
    CHECK(sockets_open(bound, at, &pair.near) == STATUS_OK);
    sockets_bound(pair.near, endpoint);
    CHECK(sockets_open(connected, endpoint, &pair.far) == STATUS_OK);
    return pair;
}

static void
part(pair_t *pair)
{
    sockets_drop(&pair->far);
    sockets_drop(&pair->near);
}

//  Wait for what has been sent, with a bound that only a failure meets.
static bool
wait_for(zsock_t *socket, short what)
{
    zmq_pollitem_t item = { .socket = zsock_resolve(socket), .events = what };
    return zmq_poll(&item, 1, 10000) == 1;
}

static status_t
hear(zsock_t *socket, received_t *received_r)
{
    CHECK(wait_for(socket, ZMQ_POLLIN));
    return frames_receive(socket, received_r);
}

static void
say(zsock_t *socket, const peer_t *peer, const message_t *message,
    buffer_t *payload)
{
    CHECK(wait_for(socket, ZMQ_POLLOUT));
    CHECK(frames_send(socket, peer, message, payload) == STATUS_OK);
}

static buffer_t *
bytes_of(size_t size, uint8_t first)
{
    buffer_t *buffer = buffer_new(size);
    for (size_t i = 0; i < size; i++)
        buffer_fill(buffer)[i] = (uint8_t)(first + i * 7);
    return buffer;
}

static bool
same(const buffer_t *a, const buffer_t *b)
{
    return buffer_size(a) == buffer_size(b) &&
           memcmp(buffer_bytes(a), buffer_bytes(b), buffer_size(a)) == 0;
}

//  A piece of `size` bytes there, an answer of as many back.
static void
ask_and_answer(pair_t *pair, size_t size)
{
    Rill__V1__Piece piece = RILL__V1__PIECE__INIT;
    piece.offset = 42;
    message_t there = MESSAGE(PIECE, piece, &piece, 7, 8);
    buffer_t *bytes = bytes_of(size, 1);
    say(pair->far, NULL, &there, bytes);

    received_t got, back;
    CHECK(hear(pair->near, &got) == STATUS_OK);
    CHECK(got.peer.size > 0 && got.request == 7 && got.message->trace == 8);
    CHECK(got.message->body_case == RILL__V1__MESSAGE__BODY_PIECE);
    CHECK(got.message->piece->offset == 42 && same(got.payload, bytes));

    Rill__V1__Answer answer = RILL__V1__ANSWER__INIT;
    message_t again = MESSAGE(ANSWER, answer, &answer, 7, 8);
    say(pair->near, &got.peer, &again, got.payload);
    frames_release(&got);
    CHECK(hear(pair->far, &back) == STATUS_OK);
    CHECK(back.peer.size == 0 && back.request == 7);
    CHECK(same(back.payload, bytes));
    frames_release(&back);
    buffer_unref(&bytes);
}

static void
questions_and_answers_pass_with_payload_of_any_size(void)
{
    static const size_t sizes[] = { 0,    1,    33,   34,
                                    4095, 4096, 8192, LIMIT_PAYLOAD_BYTES };
    const char *places[] = { ANY, INSIDE };
    for (int p = 0; p < 2; p++) {
        pair_t pair = join(SOCKET_FRONT, SOCKET_ASK, places[p]);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
            ask_and_answer(&pair, sizes[i]);
        part(&pair);
    }
}

static void
pushed_chunks_and_receipts_pass_without_envelope(void)
{
    pair_t pair = join(SOCKET_PULL, SOCKET_PUSH, ANY);
    Rill__V1__Store store = RILL__V1__STORE__INIT;
    store.term = 3;
    message_t chunk = MESSAGE(STORE, store, &store, 0, 0);
    Rill__V1__Receipt receipt = RILL__V1__RECEIPT__INIT;
    receipt.term = 4;
    message_t receipted = MESSAGE(RECEIPT, receipt, &receipt, 0, 0);
    buffer_t *bytes = bytes_of(256 * 1024, 9);
    say(pair.far, NULL, &chunk, bytes);
    say(pair.far, NULL, &receipted, NULL);
    say(pair.far, NULL, &chunk, NULL);

    received_t got;
    CHECK(hear(pair.near, &got) == STATUS_OK);
    CHECK(got.message->store->term == 3 && same(got.payload, bytes));
    frames_release(&got);
    CHECK(hear(pair.near, &got) == STATUS_OK);
    CHECK(got.message->receipt->term == 4 && !got.payload);
    frames_release(&got);
    CHECK(hear(pair.near, &got) == STATUS_OK);
    CHECK(got.payload && buffer_size(got.payload) == 0);
    frames_release(&got);
    CHECK(frames_receive(pair.near, &got) == STATUS_LATE);
    buffer_unref(&bytes);
    part(&pair);
}

static void
note_free(void *done)
{
    *(bool *)done = true;
}

static void
payload_is_lent_and_not_copied(void)
{
    pair_t pair = join(SOCKET_PULL, SOCKET_PUSH, INSIDE);
    static uint8_t lent[FRAMES_COPIED_BYTES];
    bool done = false;
    buffer_t *bytes = buffer_wrap(lent, sizeof(lent), note_free, &done);
    Rill__V1__Store store = RILL__V1__STORE__INIT;
    message_t chunk = MESSAGE(STORE, store, &store, 0, 0);
    say(pair.far, NULL, &chunk, bytes);
    buffer_unref(&bytes);
    received_t got;
    CHECK(hear(pair.near, &got) == STATUS_OK);
    //  Inside one process even the receiver sees the sender's memory.
    CHECK(buffer_bytes(got.payload) == lent && !done);
    frames_release(&got);
    CHECK(done);
    part(&pair);
}

int
main(void)
{
    CASE(questions_and_answers_pass_with_payload_of_any_size,
         "questions and answers pass with payload of any size");
    CASE(pushed_chunks_and_receipts_pass_without_envelope,
         "pushed chunks and receipts pass without an envelope");
    CASE(payload_is_lent_and_not_copied,
         "frames 1: payload is lent to the socket and to its receiver");
    return proof_end();
}
