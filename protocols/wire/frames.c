#include "frames.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"

//  One multipart while it is read.
typedef struct {
    void *handle;
    int parts;  //  Read by this call
    bool more;  //  Another part is behind the last one read
} reader_t;

enum { TOPICS_BURST = 1024 };  //  Subscriptions taken before others' turn

static int
option(void *handle, int name)
{
    int value;
    size_t size = sizeof(value);
    int rc = zmq_getsockopt(handle, name, &value, &size);
    INVARIANT(rc == 0);
    return value;
}

//  The next part into `part`, which the caller closes. False: none, or more
//  than a call reads.
static bool
next(reader_t *reader, zmq_msg_t *part)
{
    if (!reader->more || reader->parts == FRAMES_PARTS)
        return false;
    zmq_msg_init(part);
    if (TEMP_FAILURE_RETRY(zmq_msg_recv(part, reader->handle, ZMQ_DONTWAIT)) ==
        -1) {
        zmq_msg_close(part);
        reader->more = false;
        return false;
    }
    reader->parts++;
    reader->more = zmq_msg_more(part) != 0;
    return true;
}

//  Read and forget what is left of the multipart (frames 2).
static status_t
swallow(reader_t *reader, status_t why)
{
    zmq_msg_t part;
    while (next(reader, &part))
        zmq_msg_close(&part);
    return reader->more ? STATUS_TOO_LARGE : why;
}

//  Add one path frame to the way back; false when the way is too long.
static bool
add_hop(peer_t *peer, zmq_msg_t *part)
{
    size_t size = zmq_msg_size(part);
    if (peer->size + 1 + size > LIMIT_PEER_BYTES)
        return false;
    peer->bytes[peer->size] = (uint8_t)size;
    memcpy(peer->bytes + peer->size + 1, zmq_msg_data(part), size);
    peer->size += (uint8_t)(1 + size);
    return true;
}

//  Read up to the empty delimiter. False: there is none within a path's bounds.
static bool
read_path(reader_t *reader, peer_t *peer)
{
    zmq_msg_t part;
    bool ended = false, fits = true;
    while (fits && !ended && next(reader, &part)) {
        ended = zmq_msg_size(&part) == 0;
        fits = ended || add_hop(peer, &part);
        zmq_msg_close(&part);
    }
    if (!ended)
        peer->size = 0;
    return ended;
}

static bool
read_delimiter(reader_t *reader)
{
    zmq_msg_t part;
    if (!next(reader, &part))
        return false;
    bool empty = zmq_msg_size(&part) == 0;
    zmq_msg_close(&part);
    return empty;
}

static void
free_part(void *part)
{
    zmq_msg_close(part);
    free(part);
}

static buffer_t *
keep(zmq_msg_t *part)
{
    size_t size = zmq_msg_size(part);
    if (size < FRAMES_COPIED_BYTES) {
        buffer_t *copy = buffer_new(size);
        memcpy(buffer_fill(copy), zmq_msg_data(part), size);
        zmq_msg_close(part);
        return copy;
    }
    zmq_msg_t *kept = malloc(sizeof(*kept));
    INVARIANT(kept);
    zmq_msg_init(kept);
    zmq_msg_move(kept, part);
    zmq_msg_close(part);
    return buffer_wrap(zmq_msg_data(kept), size, free_part, kept);
}

//  From which address a part came.
static void
read_address(zmq_msg_t *part, char address[FRAMES_ADDRESS_BYTES])
{
    const char *text = zmq_msg_gets(part, "Peer-Address");
    if (text && strlen(text) < FRAMES_ADDRESS_BYTES)
        strcpy(address, text);
}

static status_t
read_head(reader_t *reader, received_t *received)
{
    zmq_msg_t part;
    if (!next(reader, &part))
        return STATUS_MALFORMED;
    status_t status = message_unpack_request(
        zmq_msg_data(&part), zmq_msg_size(&part), &received->message,
        &received->request);
    if (status == STATUS_OK &&
        received->message->body_case == RILL__V1__MESSAGE__BODY_WHERE)
        read_address(&part, received->address);
    zmq_msg_close(&part);
    return status;
}

//  The payload, exactly when the body has one, and nothing behind it.
static status_t
read_payload(reader_t *reader, received_t *received)
{
    zmq_msg_t part;
    if (message_has_payload(received->message)) {
        if (!next(reader, &part))
            return STATUS_MALFORMED;
        if (zmq_msg_size(&part) > LIMIT_PAYLOAD_BYTES) {
            zmq_msg_close(&part);
            return STATUS_TOO_LARGE;
        }
        received->payload = keep(&part);
    }
    return reader->more ? STATUS_MALFORMED : STATUS_OK;
}

static void
pack_topic(frames_topic_t topic, uint8_t bytes[FRAMES_TOPIC_BYTES])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(topic.stream >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(topic.grant >> (56 - 8 * i));
    }
}

static bool
read_topic(reader_t *reader, frames_topic_t *topic)
{
    zmq_msg_t part;
    if (!next(reader, &part))
        return false;
    const uint8_t *bytes = zmq_msg_data(&part);
    bool right = zmq_msg_size(&part) == FRAMES_TOPIC_BYTES;
    for (int i = 0; right && i < 8; i++) {
        topic->stream = topic->stream << 8 | bytes[i];
        topic->grant = topic->grant << 8 | bytes[8 + i];
    }
    zmq_msg_close(&part);
    return right;
}

status_t
frames_receive(zsock_t *socket, received_t *received_r)
{
    void *handle = zsock_resolve(socket);
    int type = option(handle, ZMQ_TYPE);
    reader_t reader = { .handle = handle, .more = true };
    memset(received_r, 0, sizeof(*received_r));
    //  The rest of a multipart that was too long for the last call.
    if (option(handle, ZMQ_RCVMORE))
        return swallow(&reader, STATUS_TOO_LARGE);

    status_t status = STATUS_OK;
    if (type == ZMQ_ROUTER && !read_path(&reader, &received_r->peer))
        status = STATUS_MALFORMED;
    if (type == ZMQ_DEALER && !read_delimiter(&reader))
        status = STATUS_MALFORMED;
    if (type == ZMQ_SUB && !read_topic(&reader, &received_r->topic))
        status = STATUS_MALFORMED;
    if (status == STATUS_OK)
        status = read_head(&reader, received_r);
    if (reader.parts == 0)
        return STATUS_LATE;
    if (status == STATUS_OK)
        status = read_payload(&reader, received_r);
    if (status != STATUS_OK)
        frames_release(received_r);
    return status == STATUS_OK ? status : swallow(&reader, status);
}

void
frames_take(zsock_t *socket, frames_take_fn *take, void *with, millis_t now)
{
    bool more = true;
    for (int i = 0; i < FRAMES_BURST && more; i++) {
        received_t received;
        status_t status = frames_receive(socket, &received);
        if (status == STATUS_LATE)
            return;
        more = take(with, status, &received, now);
        frames_release(&received);
    }
}

void
frames_release(received_t *received)
{
    message_free(&received->message);
    buffer_unref(&received->payload);
}

static void
let_go(void *bytes, void *buffer_)
{
    (void)bytes;
    buffer_t *buffer = buffer_;
    buffer_unref(&buffer);
}

//  Make a part of a buffer's bytes, which `ends` gives back.
static void
lend(zmq_msg_t *part, buffer_t *buffer, frames_ends_fn *ends, void *hint)
{
    void *bytes = (void *)(uintptr_t)buffer_bytes(buffer);
    int rc = zmq_msg_init_data(part, bytes, buffer_size(buffer), ends, hint);
    INVARIANT(rc == 0);
}

//  The part has a reference of its own.
static void
share(zmq_msg_t *part, buffer_t *buffer)
{
    if (buffer && buffer_size(buffer) > 0)
        lend(part, buffer, let_go, buffer_ref(buffer));
    else
        zmq_msg_init(part);
}

//  Pack a head where libzmq keeps it.
static void
lay_head(zmq_msg_t *part, const message_t *message, size_t size)
{
    int rc = zmq_msg_init_size(part, size);
    INVARIANT(rc == 0);
    message_pack_into(message, zmq_msg_data(part));
}

static int
lay_path(zmq_msg_t *parts, const peer_t *peer)
{
    int count = 0;
    for (int at = 0; at < peer->size; at += 1 + peer->bytes[at]) {
        uint8_t size = peer->bytes[at];
        INVARIANT(size > 0 && at + 1 + size <= peer->size);
        zmq_msg_init_size(&parts[count], size);
        memcpy(zmq_msg_data(&parts[count]), peer->bytes + at + 1, size);
        count++;
    }
    return count;
}

static bool
offer(void *handle, zmq_msg_t *part, bool more)
{
    int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
    if (TEMP_FAILURE_RETRY(zmq_msg_send(part, handle, flags)) != -1)
        return true;
    int why = errno;
    zmq_msg_close(part);  //  Z17: it was still ours
    errno = why;
    return false;
}

static status_t
send_parts(void *handle, zmq_msg_t *parts, int count)
{
    if (!offer(handle, &parts[0], count > 1)) {
        status_t status = errno == EAGAIN ? STATUS_BUSY : STATUS_UNREACHABLE;
        for (int i = 1; i < count; i++)
            zmq_msg_close(&parts[i]);
        return status;
    }
    //  The rest is offered whatever becomes of it: when the peer goes between
    //  two parts, libzmq takes the message back and drops what follows up to
    //  a last part, which must then be ours and not the next message's.
    bool all = true;
    for (int i = 1; i < count; i++)
        all = offer(handle, &parts[i], i + 1 < count) && all;
    return all ? STATUS_OK : STATUS_BUSY;
}

//  All parts but the payload. How many they are; 0: it cannot be said, why is
//  in `why_r`.
static int
lay(zmq_msg_t *parts, void *handle, const peer_t *peer,
    const message_t *message, status_t *why_r)
{
    int type = option(handle, ZMQ_TYPE);
    *why_r = STATUS_UNREACHABLE;
    if (type == ZMQ_ROUTER && peer->size == 0)
        return 0;
    *why_r = STATUS_TOO_LARGE;
    size_t size = message_size(message);
    if (size == 0)
        return 0;
    int count = type == ZMQ_ROUTER ? lay_path(parts, peer) : 0;
    if (type == ZMQ_ROUTER || type == ZMQ_DEALER)
        zmq_msg_init(&parts[count++]);
    lay_head(&parts[count++], message, size);
    return count;
}

status_t
frames_send(zsock_t *socket, const peer_t *peer, const message_t *message,
            buffer_t *payload)
{
    bool has_payload = message_has_payload(message);
    INVARIANT(has_payload || !payload);
    void *handle = zsock_resolve(socket);
    zmq_msg_t parts[FRAMES_PARTS];
    status_t why;
    int count = lay(parts, handle, peer, message, &why);
    if (count == 0)
        return why;
    if (has_payload)
        share(&parts[count++], payload);
    return send_parts(handle, parts, count);
}

status_t
frames_lend(zsock_t *socket, const peer_t *peer, const message_t *message,
            buffer_t *payload, frames_ends_fn *ends, void *hint)
{
    INVARIANT(message_has_payload(message));
    void *handle = zsock_resolve(socket);
    zmq_msg_t parts[FRAMES_PARTS];
    status_t why;
    int count = lay(parts, handle, peer, message, &why);
    if (count == 0) {
        ends(NULL, hint);
        return why;
    }
    lend(&parts[count++], payload, ends, hint);
    return send_parts(handle, parts, count);
}

void
frames_hand_over(void)
{
    sched_yield();
}

status_t
frames_publish(zsock_t *socket, frames_topic_t topic, const message_t *message,
               buffer_t *payload)
{
    size_t size = message_size(message);
    if (size == 0)
        return STATUS_TOO_LARGE;
    zmq_msg_t parts[3];
    zmq_msg_init_size(&parts[0], FRAMES_TOPIC_BYTES);
    pack_topic(topic, zmq_msg_data(&parts[0]));
    lay_head(&parts[1], message, size);
    share(&parts[2], payload);
    status_t status = send_parts(zsock_resolve(socket), parts, 3);
    frames_hand_over();
    return status;
}

void
frames_topics(zsock_t *socket, size_t *topics)
{
    void *handle = zsock_resolve(socket);
    uint8_t bytes[1 + FRAMES_TOPIC_BYTES];
    for (int i = 0; i < TOPICS_BURST; i++) {
        int size = zmq_recv(handle, bytes, sizeof bytes, ZMQ_DONTWAIT);
        if (size == -1)
            return;
        if (size > 0 && bytes[0] == 1)
            ++*topics;
        else if (size > 0 && bytes[0] == 0 && *topics > 0)
            --*topics;
    }
}

void
frames_subscribe(zsock_t *socket, frames_topic_t topic, bool on)
{
    uint8_t bytes[FRAMES_TOPIC_BYTES];
    pack_topic(topic, bytes);
    int rc = zmq_setsockopt(zsock_resolve(socket),
                            on ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, bytes,
                            sizeof bytes);
    INVARIANT(rc == 0);
}
