/*  stage - one play: nodes on a virtual network under one clock
 *
 *  A node is a process that can die, hang and come again; a wire is a
 *  connection between two of them. Wires are as ZeroMQ's over TCP: in order,
 *  losing only when they break or an end dies, and then all that is in the
 *  air; front and receipt wires may lose, repeat and reorder besides, when the
 *  weather says so. Every message is packed when sent and unpacked when it
 *  comes, as on the bus.
 *
 *  Invariants
 *    1. What was sent to one life of a node never reaches another.
 *    2. Nothing happens in a node that is dead; what comes while it hangs
 *       happens when it goes on, in order.
 */
#ifndef STAGE_H
#define STAGE_H

#include "agenda.h"
#include "dice.h"
#include "image.h"
#include "ledger.h"
#include "message.h"
#include "millis.h"
#include "peer.h"

#define SECOND_US 1000000

typedef struct stage stage_t;
typedef struct node node_t;
typedef struct wire wire_t;

typedef enum {
    WIRE_FRONT,    //  Whoever asks to a forwarder's ROUTER
    WIRE_PUSH,     //  Forwarder to a worker's PULL
    WIRE_ASK,      //  Forwarder to a worker's ROUTER
    WIRE_RECEIPT,  //  Worker to a forwarder's PULL
} wire_kind_t;

//  What a node does. All are called while it lives and does not hang.
typedef struct {
    //  A message came on a wire; `status` is that of its unpacking.
    void (*on_message)(node_t *node, wire_t *wire, status_t status,
                       const message_t *message, buffer_t *payload);
    //  Whether it takes chunks now; what comes on PUSH waits else. NULL: yes.
    bool (*takes)(node_t *node);
    //  A wire that it made broke.
    void (*on_break)(node_t *node, wire_t *wire);
    //  Its core's deadline, in its own clock; and that it has come.
    millis_t (*due)(node_t *node);
    void (*sweep)(node_t *node);
    //  After each of these: whether it goes on living.
    bool (*after)(node_t *node);
    //  Its process ends, whatever it was doing.
    void (*die)(node_t *node);
} node_acts_t;

typedef struct task task_t;
typedef struct letter letter_t;

struct node {
    stage_t *stage;
    const node_acts_t *acts;
    char name[24];
    void *self;  //  Of its part
    bool up, hung;
    bool doomed;  //  Dies when the current handler returns; effects are lost
    unsigned life;
    int64_t clock_us;  //  What its monotonic clock showed at our time 0
    int64_t skew_us;   //  Of its wall clock
    int64_t wake_us;   //  Earliest wake-up that is on the agenda
    unsigned spins;    //  Sweeps in a row that moved no deadline
    unsigned short crash_permille;     //  Of effects that it dies in
    task_t *first, *last;              //  What came while it hung
    letter_t *held_first, *held_last;  //  Chunks that it does not take yet
};

struct wire {
    uint64_t number;
    wire_kind_t kind;
    node_t *client, *server;
    unsigned client_life, server_life;
    bool up;              //  Messages pass
    bool closed;          //  For good
    bool blackhole;       //  Down: sends are taken and lost, else refused
    uint64_t worker;      //  Session, of PUSH and ASK
    uint64_t generation;  //  Grows with each break
    int64_t broken_us;    //  When it last did
    int64_t last_us[2];   //  When the last message arrives, each way
    size_t queued;        //  Of PUSH: in the air
};

//  Rules of a play, all from its seed.
typedef struct {
    bool messages;  //  Faults of messages are on
    unsigned lost_permille, repeated_permille, reordered_permille;
    unsigned flipped_permille;  //  Payload bits, on PUSH and ASK
    int64_t delay_us;           //  Usual delay of a message, at most
    int64_t stall_us;           //  Rare delay, at most
    size_t push_queue;          //  Messages that a PUSH socket takes
} weather_t;

struct stage {
    agenda_t *agenda;
    dice_t dice;       //  Network, disks, faults
    dice_t core_dice;  //  What the cores are given
    weather_t weather;
    ledger_t *ledger;
    image_t *catalogue;
    node_t *front;      //  The forwarder that new connections reach; or NULL
    node_t *old_front;  //  One it replaced that may still live; or NULL
    size_t wires, wires_room;
    wire_t **wire;
    int64_t epoch_us;  //  UTC at our time 0
    int64_t skew_us;   //  What walls show more, as somebody set them
    bool calm;         //  Faults are over
    int64_t full_us;   //  A PUSH socket, or the store behind it, was full last
    int64_t taken_us;  //  What one was given was taken
};

//  Time and chance.
millis_t node_now(const node_t *node);
micros_t node_wall_us(const node_t *node);

//  Do something in this life of a node, `after_us` from now. The task owns
//  `arg`; with `happens` false it only frees it.
typedef void task_fn(node_t *node, void *arg, bool happens);
void node_post(node_t *node, int64_t after_us, task_fn *function, void *arg);

//  Look after a node when something happened in it from outside.
void node_after(node_t *node);
//  Begin a new life; the caller has made its core. End it now (or, from
//  within its handler, when that returns).
void node_begin(node_t *node);
void node_kill(node_t *node);
void node_hang(node_t *node);
void node_resume(node_t *node);
//  True when its next effect must have none: it is doomed, or becomes so now.
bool node_is_lost(node_t *node);

//  Wires.
//  A new one, over which messages pass after a moment if both live.
wire_t *wire_new(stage_t *stage, wire_kind_t kind, node_t *client,
                 node_t *server);
wire_t *wire_find(stage_t *stage, uint64_t number);
//  All in the air is lost; the maker is told; it is joined again after a
//  while if both ends still live.
void wire_break(wire_t *wire);
void wire_close(wire_t *wire);
//  To the server or to the client. STATUS_BUSY: it takes nothing now;
//  STATUS_UNREACHABLE: closed.
status_t wire_send(wire_t *wire, bool to_server, const message_t *message,
                   buffer_t *payload);
//  As a peer, and back; NULL when that wire is closed.
peer_t wire_peer(const wire_t *wire);
wire_t *peer_wire(stage_t *stage, const peer_t *peer);

stage_t *stage_new(uint64_t seed, const weather_t *weather);
void stage_destroy(stage_t **self_p);

#endif
