/*  bounds - every declared bound of the bus, in one place (invariant 18)
 */
#ifndef BOUNDS_H
#define BOUNDS_H

#define WIRE_VERSION 1

#define LIMIT_HEAD_BYTES (64 * 1024)      //  A packed rill.v1.Message
#define LIMIT_UNPACK_BYTES (1024 * 1024)  //  Memory one unpacking may take
#define LIMIT_PAYLOAD_BYTES (4 * 1024 * 1024 + 4096)  //  A payload frame
#define LIMIT_PIECE_BYTES (1024 * 1024)               //  A source's piece
#define LIMIT_CHUNK_BYTES (4 * 1024 * 1024)           //  A data chunk
#define LIMIT_CHUNK_FLOOR_BYTES 4096                  //  The smallest set size
#define LIMIT_NAME_BYTES 128
#define LIMIT_MARKS 10                         //  In one chunk
#define LIMIT_SLOTS 32                         //  k + m of a block
#define LIMIT_WORKERS 256                      //  In one ensemble
#define LIMIT_PEER_BYTES 63                    //  A return path through ROUTERs
#define LIMIT_ASKS_PER_PEER 64                 //  Open at once
#define LIMIT_STREAMS_PER_PEER 16              //  Written at once
#define LIMIT_OPEN_STREAMS 7000                //  Their ids fit one Welcome
#define LIMIT_CREDIT_BYTES (64 * 1024 * 1024)  //  C of R11

#endif
