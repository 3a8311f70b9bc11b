#include "storage.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "daemon.h"
#include "folder.h"
#include "frames.h"
#include "proof.h"
#include "sockets.h"

/*  The actor on real sockets and a real directory; the forwarder is played by
 *  the case itself. Nothing sleeps: each step waits for its message.
 */
enum { PATIENT_MS = 60000, CHUNK_BYTES = 10000 };

static uint8_t content[CHUNK_BYTES];

typedef struct {
    zsock_t *front;     //  Where the worker says Hello
    zsock_t *receipts;  //  Where it sends receipts
    zsock_t *push;      //  To its PULL
    zsock_t *ask;       //  To its front
    zactor_t *worker;
    storage_place_t place;
    char at[ENDPOINT_BYTES];           //  Our front, as HOST:PORT
    char receipts_at[ENDPOINT_BYTES];  //  tcp://HOST:PORT
    peer_t peer;                       //  The worker at our front
    uint64_t session;
} scene_t;

static scene_t scene;

static void
receive(zsock_t *socket, received_t *received)
{
    zmq_pollitem_t item = { .socket = zsock_resolve(socket),
                            .events = ZMQ_POLLIN };
    CHECK(zmq_poll(&item, 1, PATIENT_MS) == 1);
    CHECK(frames_receive(socket, received) == STATUS_OK);
}

//  The next message of a kind at our front; others are let pass.
static void
hear(int kind, received_t *received)
{
    while (true) {
        receive(scene.front, received);
        scene.peer = received->peer;
        if ((int)received->message->body_case == kind)
            return;
        frames_release(received);
    }
}

//  Until the socket takes it, which is when it is connected.
static void
send_to(zsock_t *socket, const message_t *message, buffer_t *payload)
{
    zmq_pollitem_t item = { .socket = zsock_resolve(socket),
                            .events = ZMQ_POLLOUT };
    CHECK(zmq_poll(&item, 1, PATIENT_MS) == 1);
    CHECK(frames_send(socket, NULL, message, payload) == STATUS_OK);
}

static void
close_scene(void)
{
    zactor_destroy(&scene.worker);
    zsock_destroy(&scene.push);
    zsock_destroy(&scene.ask);
    zsock_destroy(&scene.receipts);
    zsock_destroy(&scene.front);
}

static void
open_scene(const char *data)
{
    close_scene();  //  What a failed case left
    char endpoint[ENDPOINT_BYTES];
    CHECK(sockets_open(SOCKET_FRONT, "tcp://127.0.0.1:*", &scene.front) ==
          STATUS_OK);
    CHECK(sockets_open(SOCKET_PULL, "tcp://127.0.0.1:*", &scene.receipts) ==
          STATUS_OK);
    sockets_bound(scene.front, endpoint);
    strcpy(scene.at, endpoint + strlen("tcp://"));
    sockets_bound(scene.receipts, scene.receipts_at);
    scene.place = (storage_place_t){
        .name = "w1",
        .at = "127.0.0.1:0",
        .reach = "127.0.0.1:0",
        .forwarder_at = scene.at,
        .data = data,
        .space_bytes = 64 * 1024 * 1024,
        .segment_bytes = 4 * 1024 * 1024,
        .metrics = "",
        .patience = 1,
    };
}

//  Start an actor; what it says first. The caller frees the text.
static status_t
start(zactor_t **actor_r, storage_place_t *place, char **text_r)
{
    status_t status = STATUS_IO;
    *actor_r = zactor_new(storage_actor, place);
    CHECK(*actor_r && daemon_hear(*actor_r, &status, text_r));
    return status;
}

static void
start_worker(void)
{
    char *text = NULL;
    CHECK(start(&scene.worker, &scene.place, &text) == STATUS_OK);
    CHECK(strncmp(text, "127.0.0.1:", 10) == 0 && atoi(text + 10) > 0);
    zstr_free(&text);
}

static void
answer_hello(const received_t *hello, uint64_t session)
{
    Rill__V1__Welcome welcome = RILL__V1__WELCOME__INIT;
    uint64_t streams[] = { 7 };
    welcome.cluster = 0xc1;
    welcome.term = 5;
    welcome.session = session;
    welcome.receipts_at = scene.receipts_at;
    welcome.n_streams = 1;
    welcome.streams = streams;
    message_t message = MESSAGE(WELCOME, welcome, &welcome,
                                hello->message->request, 0);
    scene.session = session;
    CHECK(frames_send(scene.front, &hello->peer, &message, NULL) == STATUS_OK);
}

//  Answer its Hello and connect to it; how many records its inventory says.
static size_t
welcome_worker(uint64_t session)
{
    received_t received;
    hear(RILL__V1__MESSAGE__BODY_HELLO, &received);
    zsock_destroy(&scene.push);
    zsock_destroy(&scene.ask);
    const Rill__V1__Hello *hello = received.message->hello;
    CHECK(sockets_open(SOCKET_PUSH, hello->push_at, &scene.push) == STATUS_OK);
    CHECK(sockets_open(SOCKET_ASK, hello->ask_at, &scene.ask) == STATUS_OK);
    answer_hello(&received, session);
    frames_release(&received);
    size_t records = 0;
    for (bool done = false; !done; frames_release(&received)) {
        hear(RILL__V1__MESSAGE__BODY_INVENTORY, &received);
        const Rill__V1__Inventory *said = received.message->inventory;
        done = said->done && said->session == session;
        for (size_t h = 0; h < said->n_held; h++)
            for (size_t r = 0; r < said->held[h]->n_runs; r++)
                records += said->held[h]->runs[r]->slots.len;
    }
    return records;
}

static void
give_back(void *hint)
{
    (void)hint;
}

static void
store(uint64_t block)
{
    chunk_header_t header = {
        .key = { 7, 5ull << 32, block, 1 },
        .code = { 4, 2 },
        .offset = block * 4 * CHUNK_BYTES,
        .length = CHUNK_BYTES,
        .created_us = 1,
        .block_us = 1,
        .width = 6,
        .position = 1,
        .kind = KIND_RECORDED,
        .name = "film",
        .payload_crc = checksum_crc32c(content, CHUNK_BYTES),
    };
    chunk_on_wire_t chunk;
    message_from_chunk(&header, &chunk);
    Rill__V1__Store body = RILL__V1__STORE__INIT;
    body.term = 5;
    body.session = scene.session;
    body.chunk = &chunk.header;
    message_t message = MESSAGE(STORE, store, &body, 0, 0);
    buffer_t *payload = buffer_wrap(content, CHUNK_BYTES, give_back, NULL);
    send_to(scene.push, &message, payload);
    buffer_unref(&payload);
}

//  Wait until so many keys are receipted.
static void
hear_receipts(size_t count)
{
    for (size_t heard = 0; heard < count;) {
        received_t received;
        receive(scene.receipts, &received);
        const Rill__V1__Receipt *said = received.message->receipt;
        CHECK(said->session == scene.session && said->n_failed == 0);
        heard += said->n_stored;
        CHECK(heard <= count);
        frames_release(&received);
    }
}

//  Ask for a block; whether it came back exact.
static bool
fetch(uint64_t block)
{
    Rill__V1__ChunkKey key = message_from_key(
        (chunk_key_t){ 7, 5ull << 32, block, 1 });
    Rill__V1__Fetch body = RILL__V1__FETCH__INIT;
    body.key = &key;
    message_t message = MESSAGE(FETCH, fetch, &body, 77, 0);
    send_to(scene.ask, &message, NULL);
    received_t received;
    receive(scene.ask, &received);
    bool exact = received.message->request == 77 &&
                 received.message->body_case ==
                     RILL__V1__MESSAGE__BODY_FETCHED &&
                 buffer_size(received.payload) == CHUNK_BYTES &&
                 memcmp(buffer_bytes(received.payload), content, CHUNK_BYTES) ==
                     0;
    frames_release(&received);
    return exact;
}

static void
what_is_receipted_is_read_back(void)
{
    open_scene(folder_new());
    start_worker();
    CHECK(welcome_worker(11) == 0);
    for (uint64_t block = 0; block < 300; block++)
        store(block);
    hear_receipts(300);
    CHECK(fetch(0) && fetch(299) && !fetch(300));

    //  A new session of the same worker says what the older took.
    received_t received;
    hear(RILL__V1__MESSAGE__BODY_WORKER_KEEP, &received);
    Rill__V1__Refused over = message_refusal(STATUS_SESSION, NULL, 0);
    message_t message = MESSAGE(REFUSED, refused, &over,
                                received.message->request, 0);
    CHECK(frames_send(scene.front, &received.peer, &message, NULL) ==
          STATUS_OK);
    frames_release(&received);
    CHECK(welcome_worker(12) == 300);
    store(300);
    hear_receipts(1);
    CHECK(fetch(300));
    close_scene();
}

static void
a_worker_that_stops_receipts_then_leaves(void)
{
    const char *data = folder_new();
    open_scene(data);
    start_worker();
    CHECK(welcome_worker(11) == 0);
    for (uint64_t block = 0; block < 100; block++)
        store(block);
    hear_receipts(100);
    zstr_send(scene.worker, "$TERM");
    received_t received;
    hear(RILL__V1__MESSAGE__BODY_WORKER_LEAVE, &received);
    CHECK(received.message->worker_leave->session == 11);
    frames_release(&received);
    status_t status = STATUS_IO;
    char *text = NULL;
    CHECK(daemon_hear(scene.worker, &status, &text) && status == STATUS_OK);
    zstr_free(&text);

    open_scene(data);
    start_worker();
    CHECK(welcome_worker(12) == 100);
    CHECK(fetch(0) && fetch(99));
    close_scene();
}

static void
a_full_disk_is_told_and_harms_nothing(void)
{
    enum { CHUNKS = 8000 };  //  80 MB into 64 MiB
    open_scene(folder_new());
    //  Nobody answers its Keeps: a slow machine must not end the session.
    scene.place.patience = 20;
    start_worker();
    CHECK(welcome_worker(11) == 0);
    //  Nobody reads a receipt meanwhile: the worker keeps them.
    for (uint64_t block = 0; block < CHUNKS; block++)
        store(block);
    size_t stored = 0, failed = 0;
    uint64_t last = 0;
    while (stored + failed < CHUNKS) {
        received_t received;
        receive(scene.receipts, &received);
        const Rill__V1__Receipt *said = received.message->receipt;
        stored += said->n_stored;
        failed += said->n_failed;
        if (said->n_stored)
            last = said->stored[said->n_stored - 1]->block;
        CHECK(said->n_failed == 0 ||
              message_status(said->status) == STATUS_FULL);
        frames_release(&received);
    }
    CHECK(stored > 1000 && failed > 0);
    CHECK(fetch(0) && fetch(last) && !fetch(CHUNKS));
    received_t received;
    hear(RILL__V1__MESSAGE__BODY_WORKER_KEEP, &received);
    while (!received.message->worker_keep->space->full) {
        frames_release(&received);
        hear(RILL__V1__MESSAGE__BODY_WORKER_KEEP, &received);
    }
    frames_release(&received);
    close_scene();
}

static void
a_refused_worker_ends_and_says_why(void)
{
    open_scene(folder_new());
    start_worker();
    received_t received;
    hear(RILL__V1__MESSAGE__BODY_HELLO, &received);
    Rill__V1__Refused taken = message_refusal(STATUS_TAKEN, "w1 is another's",
                                              0);
    message_t message = MESSAGE(REFUSED, refused, &taken,
                                received.message->request, 0);
    CHECK(frames_send(scene.front, &received.peer, &message, NULL) ==
          STATUS_OK);
    frames_release(&received);
    status_t status = STATUS_OK;
    char *text = NULL;
    CHECK(daemon_hear(scene.worker, &status, &text));
    CHECK(status == STATUS_TAKEN && strcmp(text, "w1 is another's") == 0);
    zstr_free(&text);
    close_scene();
}

static void
what_another_has_is_refused(void)
{
    open_scene(folder_new());
    start_worker();
    zactor_t *second = NULL;
    char *text = NULL;
    CHECK(start(&second, &scene.place, &text) == STATUS_TAKEN);
    CHECK(strstr(text, scene.place.data));
    zstr_free(&text);
    zactor_destroy(&second);

    storage_place_t place = scene.place;
    place.data = folder_new();
    place.at = place.reach = scene.at;
    CHECK(start(&second, &place, &text) == STATUS_ADDRESS);
    CHECK(strstr(text, "address") && strstr(text, scene.at));
    zstr_free(&text);
    zactor_destroy(&second);
    close_scene();
}

int
main(void)
{
    if (sockets_begin(64) != STATUS_OK)
        return 1;
    for (size_t i = 0; i < CHUNK_BYTES; i++)
        content[i] = (uint8_t)(i * 31 + i / 256);
    CASE(what_is_receipted_is_read_back,
         "invariant 1: what was receipted is read back exact, and inventoried");
    CASE(a_worker_that_stops_receipts_then_leaves,
         "a worker that is told to stop leaves, and has all when it is back");
    CASE(a_full_disk_is_told_and_harms_nothing,
         "invariant 21: on a full disk each chunk is receipted or told failed");
    CASE(a_refused_worker_ends_and_says_why,
         "a worker that a forwarder refuses ends and says why");
    CASE(what_another_has_is_refused,
         "a directory or an address that another has is refused, said");
    return proof_end();
}
