package rill;

import java.nio.ByteBuffer;
import java.util.zip.CRC32C;
import rill.v1.Chunk.ChunkHeader;

/**
 * Bytes at an offset and the header of the chunk they came in; or a hole: the
 * stream has no bytes up to `to`.
 */
public record Piece(long offset, long to, ByteBuffer bytes,
        ChunkHeader chunk) {
    public boolean isHole() {
        return chunk == null;
    }

    static Piece hole(long offset, long to) {
        return new Piece(offset, to, ByteBuffer.allocate(0), null);
    }

    /** The part [offset, to) of a chunk. */
    static Piece of(ChunkHeader chunk, byte[] payload, long offset, long to) {
        return new Piece(offset, to, ByteBuffer.wrap(payload,
                (int) (offset - chunk.getOffset()), (int) (to - offset))
                .slice(), chunk);
    }

    /** Whether a payload is what its header says. */
    static boolean checked(ChunkHeader chunk, long stream, byte[] payload) {
        CRC32C sum = new CRC32C();
        if (payload == null || chunk.getStream() != stream
                || chunk.getLength() != payload.length
                || chunk.getSlot() >= chunk.getK() || chunk.getOffset() < 0
                || chunk.getOffset() > Long.MAX_VALUE - payload.length)
            return false;
        sum.update(payload);
        return (int) sum.getValue() == chunk.getPayloadCrc();
    }
}
