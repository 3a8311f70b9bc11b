/*  play - the cast: forwarders, workers, sources, readers around real cores
 *
 *  Each part wraps one production core, gives it effects that act on the
 *  stage, and brings it what comes. A forwarder's part is made anew at each
 *  start, so that one that was stopped can wake beside its successor.
 */
#ifndef PLAY_H
#define PLAY_H

#include "disk.h"
#include "forwarder_core.h"
#include "publisher.h"
#include "stage.h"
#include "storage_core.h"

#define WORKERS_MOST 7
#define SOURCES_MOST 4
#define FORWARDERS_MOST 400
#define NAME_BYTES 24

typedef struct play play_t;

//  Lies from outside that the checker must find.
typedef enum {
    LIE_NONE,
    LIE_EARLY_RECEIPT,   //  A disk says durable before its sync
    LIE_NO_CRC,          //  A disk takes what is not what its header says
    LIE_NO_SYNC,         //  The catalogue's disk does not sync
    LIE_DROPPED_BATCH,   //  The catalogue forgets a batch it took
    LIE_FORGED_RECEIPT,  //  A worker receipts parity that it never wrote
    LIE_STALE_SESSION,   //  A worker receipts for a term it has left
    LIE_WRONG_READ,      //  A worker answers with another chunk's bytes
} lie_t;

typedef struct {
    play_t *play;
    node_t node;
    unsigned number;  //  Of starts; grows
    forwarder_core_t *core;
    kv_t *catalogue;
    char receipts_at[NAME_BYTES];
    size_t sessions, sessions_room;
    struct joined *session;  //  Workers it is connected to
    size_t opens, opens_room;
    struct opening *open;  //  Opens it heard
    bool draining;         //  It stops in good order
    int64_t io_until_us;   //  Its catalogue refuses writes until then
    bool rebuilds;         //  It makes the catalogue again
    bool doubted;          //  Its catalogue is an older copy
} forwarder_part_t;

typedef struct {
    play_t *play;
    node_t node;
    unsigned number;
    storage_core_t *core;
    disk_t *disk;
    wire_t *front, *receipts;
    bool committing;
    unsigned commit;  //  Number of the running commit
    int64_t sync_us;  //  Longest usual commit
    int64_t slow_until_us;
    int64_t fail_until_us;  //  Syncs fail until then
    bool draining;          //  It stops in good order
    bool gone;              //  For good, with its disk
    medium_t *shelf;        //  A disk of its that may come back, or NULL
    int64_t older_us;       //  When that was copied; 0: it was taken out
} worker_part_t;

typedef struct {
    play_t *play;
    node_t node;
    publisher_t *core;
    wire_t *front;
    char name[NAME_BYTES];
    kind_t kind;
    code_t asked;
    uint8_t retention;
    uint64_t token;
    uint64_t total;  //  Bytes of this token's life, if it is left to live
    uint32_t piece;  //  At most
    uint32_t rate;   //  Bytes per 10 ms at most
    bool feeding;    //  A feed is on the agenda
    bool taken;      //  Another source has its name
    bool finished;   //  publisher_finish was called
    bool ends;       //  It said where it ends: no process of it goes beyond
    bool done;       //  Sealed
    uint64_t given;  //  By all processes of this token
    uint64_t calm_stored;  //  What was stored when calm began
} source_part_t;

typedef struct {
    play_t *play;
    node_t node;
    wire_t *front;
    uint64_t request;
    struct question *question;
    //  The last act: every sealed stream is read whole, one after the other.
    bool reading;
    unsigned stream;
    uint64_t id, at, size;
    bool described;
    bool done;
    //  Then the status is held against what stores keep.
    bool audits, agrees;
} reader_part_t;

//  What a seed decides once.
struct play {
    stage_t *stage;
    forwarder_settings_t settings;
    unsigned forwarders, workers, sources;
    forwarder_part_t *forwarder[FORWARDERS_MOST];  //  All that ever were
    worker_part_t worker[WORKERS_MOST];
    source_part_t source[SOURCES_MOST];
    reader_part_t reader;
    lie_t lie;
    bool removes;            //  Readers remove streams
    bool disaster;           //  At the end of the faults most stores are lost
    bool settles;            //  Somebody accepts what that costs
    int64_t fault_us;        //  Longest time between two faults
    int64_t stall_until_us;  //  No disk ends what it begins before
    unsigned departures;     //  Of workers, as forwarders noted
    int64_t lost_until_us;   //  No store is lost before
    int64_t calm_us;         //  When faults end
    bool rebuild;            //  The catalogue is lost
    bool older;              //  It is an older copy, and nobody knows
    image_t *copy;           //  Of the catalogue, with this last term in it
    uint64_t copy_term;
};

//  Start a forwarder; false when its start failed (it tries again).
bool forwarder_start(play_t *play);
//  The newest one that lives, or NULL.
forwarder_part_t *forwarder_now(play_t *play);
void forwarder_free(forwarder_part_t **self_p);

void worker_make(worker_part_t *self, play_t *play, unsigned number);
void worker_start(worker_part_t *self);
void worker_free(worker_part_t *self);

void source_make(source_part_t *self, play_t *play, unsigned number);
void source_start(source_part_t *self);
//  Another source takes the name.
void source_replace(source_part_t *self);
void source_free(source_part_t *self);

void reader_make(reader_part_t *self, play_t *play);
void reader_start(reader_part_t *self);
//  The last act begins, again when it was played.
void reader_read_all(reader_part_t *self);
void reader_free(reader_part_t *self);

//  A client's connection to the front: made anew when it breaks.
void front_join(node_t *node, wire_t **wire_p);

//  Play one seed for `seconds` of faults and what follows. Ends the program at
//  a breach.
void play_run(uint64_t seed, unsigned seconds, lie_t lie);

//  weather.c: faults until calm, then everything is healed.
void weather_begin(play_t *play);
void weather_heal(play_t *play);
//  More stores than streams can do without go for good, and the forwarder dies.
void weather_disaster(play_t *play);
//  Several disks are wiped while sources go on, in the calm.
void weather_wipe_some(play_t *play);
//  All disks stand still, before anything else; until when.
int64_t weather_stall(play_t *play);
//  The last loss: a store that every block can do without goes for good.
void weather_lose_store(play_t *play);
weather_t weather_of(dice_t *dice);

#endif
