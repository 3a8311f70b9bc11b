#include "loans.h"

#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "proof.h"
#include "sockets.h"

enum { PAYLOAD = 64 * 1024, PER_PEER = 4 * PAYLOAD, MOST = 6 * PAYLOAD };

//  A front and readers that it knows.
typedef struct {
    zsock_t *front;
    zsock_t *readers[3];
    peer_t peers[3];
    loans_t *loans;
} scene_t;

static bool
readable(zsock_t *socket)
{
    zmq_pollitem_t item = { .socket = zsock_resolve(socket),
                            .events = ZMQ_POLLIN };
    return zmq_poll(&item, 1, 60000) == 1;
}

static void
open_scene(scene_t *scene)
{
    char at[ENDPOINT_BYTES];
    CHECK(sockets_open(SOCKET_FRONT, "tcp://127.0.0.1:*", &scene->front) ==
          STATUS_OK);
    sockets_bound(scene->front, at);
    for (int i = 0; i < 3; i++) {
        CHECK(sockets_open(SOCKET_ASK, at, &scene->readers[i]) == STATUS_OK);
        Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
        message_t hello = MESSAGE(STATUS_ASK, status_ask, &body, 1, 0);
        CHECK(frames_send(scene->readers[i], NULL, &hello, NULL) == STATUS_OK);
        received_t received;
        CHECK(readable(scene->front));
        CHECK(frames_receive(scene->front, &received) == STATUS_OK);
        scene->peers[i] = received.peer;
        frames_release(&received);
    }
    scene->loans = loans_new(MOST, PER_PEER);
}

static void
close_scene(scene_t *scene)
{
    sockets_drop(&scene->front);
    for (int i = 0; i < 3; i++)
        sockets_drop(&scene->readers[i]);
    loans_destroy(&scene->loans);
}

//  Payload that the test, not libzmq, lets go of: a second holder.
static status_t
answer(scene_t *scene, int reader, buffer_t *payload)
{
    Rill__V1__Answer body = RILL__V1__ANSWER__INIT;
    message_t message = MESSAGE(ANSWER, answer, &body, 7, 0);
    return loans_send(scene->loans, scene->front, &scene->peers[reader],
                      &message, payload);
}

static buffer_t *
payload_of(size_t size)
{
    buffer_t *payload = buffer_new(size);
    memset(buffer_fill(payload), 7, size);
    return payload;
}

//  The next word that a reader hears: its body.
static int
heard(scene_t *scene, int reader)
{
    received_t received;
    CHECK(readable(scene->readers[reader]));
    CHECK(frames_receive(scene->readers[reader], &received) == STATUS_OK);
    CHECK(received.request == 7);
    int body = (int)received.message->body_case;
    frames_release(&received);
    return body;
}

//  libzmq gives back when it has sent, in its own time.
static void
wait_until_given_back(scene_t *scene)
{
    for (int i = 0; i < 6000 && loans_bytes(scene->loans) > 0; i++)
        zmq_poll(NULL, 0, 10);
    CHECK(loans_bytes(scene->loans) == 0);
}

static void
what_is_taken_is_given_back(void)
{
    scene_t scene;
    open_scene(&scene);
    buffer_t *payload = payload_of(PAYLOAD);
    for (int i = 0; i < 100; i++) {
        CHECK(answer(&scene, 0, payload) == STATUS_OK);
        CHECK(heard(&scene, 0) == RILL__V1__MESSAGE__BODY_ANSWER);
        wait_until_given_back(&scene);
    }
    buffer_unref(&payload);
    close_scene(&scene);
}

//  Send to a reader that takes nothing until it is refused; how many it got.
static int
fill(scene_t *scene, int reader, buffer_t *payload)
{
    int sent = 0;
    while (sent < 2000 && answer(scene, reader, payload) == STATUS_OK)
        sent++;
    return sent;
}

static void
a_peer_that_reads_nothing_is_refused(void)
{
    scene_t scene;
    open_scene(&scene);
    buffer_t *payload = payload_of(PAYLOAD);
    //  What the kernel took is not lent any more.
    int sent = fill(&scene, 0, payload);
    CHECK(sent > 0 && sent < 2000);
    CHECK(loans_bytes(scene.loans) <= PER_PEER);
    CHECK(answer(&scene, 1, payload) == STATUS_OK);
    CHECK(heard(&scene, 1) == RILL__V1__MESSAGE__BODY_ANSWER);
    //  It hears its answers, then that it is busy.
    for (int i = 0; i < sent; i++)
        CHECK(heard(&scene, 0) == RILL__V1__MESSAGE__BODY_ANSWER);
    CHECK(heard(&scene, 0) == RILL__V1__MESSAGE__BODY_REFUSED);
    wait_until_given_back(&scene);
    CHECK(answer(&scene, 0, payload) == STATUS_OK);
    buffer_unref(&payload);
    close_scene(&scene);
}

static void
all_together_are_lent_so_much_and_no_more(void)
{
    scene_t scene;
    open_scene(&scene);
    buffer_t *payload = payload_of(PAYLOAD);
    for (int reader = 0; reader < 2; reader++)
        fill(&scene, reader, payload);
    //  Who takes something is served all the same.
    CHECK(answer(&scene, 2, payload) == STATUS_OK);
    CHECK(heard(&scene, 2) == RILL__V1__MESSAGE__BODY_ANSWER);
    fill(&scene, 2, payload);
    CHECK(loans_bytes(scene.loans) <= MOST);
    buffer_unref(&payload);
    close_scene(&scene);
}

static void
one_payload_is_always_lent(void)
{
    scene_t scene;
    open_scene(&scene);
    buffer_t *payload = payload_of(2 * MOST);
    CHECK(answer(&scene, 0, payload) == STATUS_OK);
    CHECK(heard(&scene, 0) == RILL__V1__MESSAGE__BODY_ANSWER);
    buffer_unref(&payload);
    close_scene(&scene);
}

int
main(void)
{
    zsys_init();
    CHECK(sockets_begin(64) == STATUS_OK);
    CASE(what_is_taken_is_given_back,
         "loans 1: what a peer takes is lent no more");
    CASE(a_peer_that_reads_nothing_is_refused,
         "loans 1 and 2, invariant 18: who reads nothing is lent so much, then "
         "told BUSY; others are served");
    CASE(all_together_are_lent_so_much_and_no_more,
         "loans 1, invariant 18: all peers together are lent so much");
    CASE(one_payload_is_always_lent,
         "loans 1: one payload is lent however large it is");
    return proof_end();
}
