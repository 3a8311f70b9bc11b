package rill;

import java.util.ArrayList;
import java.util.List;
import rill.v1.Chunk.ChunkHeader;
import rill.v1.Edge.Described;
import rill.v1.MessageOuterClass.Message;

/**
 * Has several asks open, where it expects chunks to begin, and gives their
 * bytes in order.
 */
public final class Reader extends Pieces {
    /** From the oldest byte there is, to behind all that is stored now. */
    public static final long FIRST = -2, END = -1;
    private static final int ASKS_MOST = 8;
    private static final long BUDGET = 2000; // Of one ask.

    private static final class Question {
        final long offset;
        long request; // 0: to be asked at `at`; else it was, then.
        long at, pause;

        Question(long offset) {
            this.offset = offset;
        }
    }

    private record Held(ChunkHeader header, byte[] bytes) {
        long end() {
            return header.getOffset() + bytes.length;
        }

        boolean covers(long offset) {
            return header.getOffset() <= offset && offset < end();
        }
    }

    private final Link link;
    private final long stream, to;
    private long next, expected, length; // Where the next ask goes; of chunks.
    private final List<Question> asks = new ArrayList<>();
    private final List<Held> held = new ArrayList<>(); // Before their turn.
    private long moved = Link.now();
    private long lostAt = Link.NEVER; // Since when the node is out of reach.
    private RillError last;

    Reader(String at, Described is, long from, long end) {
        next = expected = from == FIRST ? is.getFirst() : from;
        // The node says what is wrong with a place behind its end.
        to = end != END ? end
                : next <= is.getStored() ? is.getStored() : next + 1;
        if (next > to)
            throw new RillError("argument", "a range ends before it begins");
        stream = is.getStream();
        length = is.getChunkBytes() != 0 ? is.getChunkBytes() : 256 << 10;
        last = new RillError("late", "no answer from " + at);
        link = new Link(at);
    }

    @Override
    public void close() {
        link.close();
        next = to;
    }

    @Override
    public Piece next() {
        moved = Link.now(); // The owner was silent, not the node.
        lostAt = Link.NEVER;
        try {
            while (next < to) {
                Piece piece = due();
                if (piece != null)
                    return piece;
                ask();
                Piece hole = hear();
                if (hole != null)
                    return hole;
            }
        } catch (RillError why) {
            close();
            throw why;
        }
        return null;
    }

    /** What is next, if its chunk is held. */
    private Piece due() {
        Piece found = null;
        for (Held one : held)
            if (found == null && one.covers(next)) {
                long end = Math.min(one.end(), to);
                found = Piece.of(one.header(), one.bytes(), next, end);
                next = end;
            }
        held.removeIf(one -> one.end() <= next);
        return found;
    }

    private boolean isOpen(long offset) {
        return asks.stream().anyMatch(one -> one.offset == offset);
    }

    /** Where the next chunks should begin. */
    private void predict() {
        expected = Math.max(expected, next);
        if (!isOpen(next))
            asks.add(new Question(next));
        while (asks.size() + held.size() < ASKS_MOST && expected < to) {
            long place = expected;
            expected = held.stream().filter(one -> one.covers(place))
                    .mapToLong(Held::end).findFirst().orElse(place);
            if (expected > place)
                continue;
            if (!isOpen(place))
                asks.add(new Question(place));
            expected += length;
        }
    }

    /** For the next byte and ahead of it, and again what is due again. */
    private void ask() {
        long now = Link.now();
        if (now - moved > Link.PATIENCE)
            throw last;
        if (lostAt != Link.NEVER && now - lostAt > Link.REACH)
            throw new RillError("unreachable",
                    "the node cannot be reached any more");
        predict();
        for (Question one : asks) {
            if (one.request != 0 && now - one.at > BUDGET + 500) {
                one.request = 0;
                one.at = now;
            }
            if (one.request != 0 || now < one.at)
                continue;
            long request = Link.random();
            Message.Builder message = Message.newBuilder().setRequest(request);
            message.getAskBuilder().setStream(stream).setOffset(one.offset)
                    .setBudgetMs((int) BUDGET);
            if (!link.send(message, 100)) {
                lostAt = Math.min(lostAt, now);
                return;
            }
            lostAt = Link.NEVER;
            one.request = request;
            one.at = now;
        }
    }

    /** One answer, or until something is to be asked again; maybe a hole. */
    private Piece hear() {
        long until = Link.now() + Link.EACH;
        for (Question one : asks)
            if (one.request == 0)
                until = Math.min(until, one.at);
        Link.Heard heard = null;
        try {
            heard = link.receive(until);
        } catch (RillError wrong) {
            if (asks.stream().anyMatch(one -> wrong.concerns(one.request)))
                throw wrong;
        }
        if (heard == null)
            return null;
        Message message = heard.message();
        Question asked = asks.stream()
                .filter(one -> one.request == message.getRequest())
                .findFirst().orElse(null);
        if (asked == null)
            return null;
        if (message.hasRefused())
            return refused(asked, RillError.of(message.getRefused()));
        ChunkHeader header = message.getAnswer().getChunk();
        Held came = new Held(header, heard.payload());
        if (!Piece.checked(header, stream, heard.payload())
                || !came.covers(asked.offset))
            return refused(asked, new RillError("corrupt",
                    "a chunk came that is not what was written"));
        asks.remove(asked);
        moved = Link.now();
        length = came.bytes().length;
        if (came.end() > next)
            held.add(came);
        return null;
    }

    private Piece refused(Question asked, RillError why) {
        boolean ahead = asked.offset != next;
        boolean hole = why.is("range") && why.offset > asked.offset;
        if (!hole && !why.isFinal() && !why.is("future")) {
            asked.pause = Link.grow(asked.pause, 50, 800);
            asked.request = 0;
            asked.at = Link.now() + asked.pause;
            last = why;
            return null;
        }
        if (!hole && !ahead)
            throw why;
        // What lies ahead, if it is true, is met again when it is its turn.
        asks.remove(asked);
        if (hole)
            expected = Math.max(expected, why.offset);
        if (ahead)
            return null;
        Piece found = Piece.hole(next, Math.min(why.offset, to));
        next = found.to();
        moved = Link.now();
        return found;
    }
}
