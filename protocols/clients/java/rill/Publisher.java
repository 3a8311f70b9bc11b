package rill;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import rill.v1.Chunk.Kind;
import rill.v1.Chunk.Protection;
import rill.v1.Ingest.Open;
import rill.v1.Ingest.Opened;
import rill.v1.Ingest.Progress;
import rill.v1.MessageOuterClass.Message;

/**
 * Writes one stream. Keeps what is not stored yet, opens again with its token
 * after any trouble and goes on: nothing twice, nothing missing. It keeps no
 * more than the forwarder's credit.
 */
public final class Publisher implements AutoCloseable {
    private static final int PIECE_MOST = 1 << 20;
    private static final long SILENCE = 2000; // Then it is opened anew.
    private static final long LEASE = 10000; // Of one that says nothing.

    private record Kept(long offset, byte[] bytes) {
        long end() {
            return offset + bytes.length;
        }
    }

    private final String at;
    private final Open open;
    private Link link; // null: to be connected at openAt
    private final Deque<Kept> kept = new ArrayDeque<>(); // Not stored yet.
    private long stream, begin, next, sent, stored, settled, credit;
    private long session; // 0: not open
    private boolean opened, sealed, finishing, finishSaid;
    private long keepRequest, keepSent;
    private long openAt = Link.now(), saidAt, keptAt, heardAt, moved = openAt;
    private long turned = openAt; // When the owner last let it work.
    private long askedAt = Link.NEVER; // NEVER: all is answered
    private long pause;
    private RillError last; // Why nothing moves.

    Publisher(String at, String name, Source source) {
        this.at = at;
        Open.Builder open = Open.newBuilder().setName(name)
                .setKind(source.live() ? Kind.KIND_LIVE : Kind.KIND_RECORDED)
                .setToken(source.token() != 0 ? source.token() : Link.random())
                .setChunkBytes(source.chunkBytes());
        protect(open, source.protect());
        this.open = open.build();
        last = unreachable();
        try {
            while (!opened)
                turn(Link.EACH);
        } catch (RillError why) {
            hangUp(0);
            throw why;
        }
    }

    private static void protect(Open.Builder open, String code) {
        if (code.equals("auto"))
            return;
        String[] parts = code.equals("none") ? new String[] {"1", "0"}
                : code.split("\\+", 2);
        try {
            open.setProtection(Protection.newBuilder()
                    .setK(Integer.parseUnsignedInt(parts[0]))
                    .setM(Integer.parseUnsignedInt(parts[1])));
        } catch (NumberFormatException | ArrayIndexOutOfBoundsException bad) {
            throw new RillError("argument",
                    code + " is not auto, none or K+M");
        }
    }

    private RillError unreachable() {
        return new RillError("unreachable", "nobody answers at " + at);
    }

    public long stream() {
        return stream;
    }

    /** With it another process can go on. */
    public long token() {
        return open.getToken();
    }

    /** Of this source's first byte. */
    public long begin() {
        return begin;
    }

    /** Of the next byte written. */
    public long offset() {
        return next;
    }

    /** All below is on disk, safe from the loss of any one worker. */
    public long stored() {
        return stored;
    }

    /**
     * Waits while there is no credit. Who has nothing to write says it with no
     * bytes every few seconds.
     */
    public void write(byte[] bytes, int from, int count) {
        for (;;) {
            drain();
            if (sealed || finishing)
                throw new RillError("sealed", "the stream has ended");
            if (count <= 0)
                return;
            if (session == 0 || credit <= next) {
                turn(Link.EACH);
                continue;
            }
            int size = (int) Math.min(Math.min(count, PIECE_MOST),
                    credit - next);
            kept.add(new Kept(next,
                    Arrays.copyOfRange(bytes, from, from + size)));
            next += size;
            from += size;
            count -= size;
        }
    }

    public void write(byte[] bytes) {
        write(bytes, 0, bytes.length);
    }

    /** Take what has come and send what may go, without waiting. */
    private void drain() {
        while (hear(0)) {
            continue;
        }
        turn(0);
    }

    /** Seal the stream; returns when all of it is safe. */
    public void finish() {
        finishing = true;
        while (!sealed || settled < next)
            turn(Link.EACH);
        hangUp(0);
    }

    /** It stays open for who comes with the same token. */
    public void leave() {
        if (session != 0) {
            Message.Builder message = question();
            message.getSourceLeaveBuilder().setSession(session);
            link.send(message, 0);
        }
        finishing = true;
        hangUp(500);
    }

    /** Leaves, if it did not finish. */
    @Override
    public void close() {
        leave();
    }

    private static Message.Builder question() {
        return Message.newBuilder().setRequest(Link.random());
    }

    private void hangUp(int linger) {
        if (link != null)
            link.close(linger);
        link = null;
        session = 0;
    }

    /** Wait at most so long for one thing to happen. */
    private void turn(long wait) {
        long now = Link.now(), limit = Link.PATIENCE;
        if (now - turned > LEASE)
            moved = now; // The owner was silent, not the node.
        turned = now;
        if (hear(0))
            return;
        if (!opened && last.is("unreachable"))
            limit = Link.REACH;
        else if (!opened && last.is("late"))
            limit = Link.ANSWERED;
        if (now - moved > limit)
            throw last;
        if (link == null && now < openAt) {
            Link.sleep(Math.min(wait, openAt - now));
            return;
        }
        if (link == null) {
            sayOpen(now);
        } else if (now > silentAt()) {
            reopen(new RillError("late", "no answer from " + at), now);
            return;
        } else if (session != 0 && now >= keepDue()) {
            sayKeep(now);
        }
        pump();
        if (wait > 0) {
            long until = Math.min(now + wait, silentAt());
            hear(session != 0 ? Math.min(until, keepDue()) : until);
        }
    }

    /** A second after the silence of either side began. */
    private long keepDue() {
        return Math.max(Math.min(saidAt, heardAt), keptAt) + Link.EACH;
    }

    private long silentAt() {
        return askedAt == Link.NEVER ? Link.NEVER : askedAt + SILENCE;
    }

    /**
     * With the same token, on a new connection: what was under way on the old
     * one is nobody's any more.
     */
    private void reopen(RillError why, long now) {
        hangUp(0);
        last = why;
        openAt = now + pause;
        pause = Link.grow(pause, 50, 400);
        askedAt = Link.NEVER;
    }

    private void sayOpen(long now) {
        link = new Link(at);
        if (!link.send(question().setOpen(open), Link.EACH)) {
            reopen(unreachable(), now);
            return;
        }
        saidAt = askedAt = now;
    }

    /**
     * How far is it? What was sent before has come when this is answered, or
     * it never will.
     */
    private void sayKeep(long now) {
        Message.Builder message = question();
        if (finishing && sent == next) {
            message.getFinishBuilder().setSession(session).setOffset(next);
            finishSaid = true;
        } else {
            message.getSourceKeepBuilder().setSession(session);
        }
        link.send(message, 0); // Who is not there is silent too.
        keepRequest = message.getRequest();
        keepSent = sent;
        saidAt = keptAt = now;
        askedAt = Math.min(askedAt, now);
    }

    /** Send what is kept, up to the credit. */
    private void pump() {
        if (session == 0)
            return;
        for (Kept piece : kept) {
            long end = Math.min(piece.end(), credit);
            if (sent < piece.offset() || sent >= end)
                continue;
            Message.Builder message = question();
            message.getPieceBuilder().setSession(session).setOffset(sent);
            byte[] bytes = sent == piece.offset() && end == piece.end()
                    ? piece.bytes()
                    : Arrays.copyOfRange(piece.bytes(),
                            (int) (sent - piece.offset()),
                            (int) (end - piece.offset()));
            if (!link.send(message, bytes, Link.EACH))
                return;
            sent = end;
            saidAt = Link.now();
        }
        if (finishing && !finishSaid && sent == next)
            sayKeep(Link.now());
    }

    /** One message, if one comes until then. */
    private boolean hear(long until) {
        Link.Heard heard = link == null ? null : link.receive(until);
        if (heard == null)
            return false;
        long now = Link.now();
        Message message = heard.message();
        switch (message.getBodyCase()) {
            case OPENED -> onOpened(message.getOpened(), now);
            case PROGRESS -> onProgress(message.getRequest(),
                    message.getProgress(), now);
            case REFUSED -> onRefused(RillError.of(message.getRefused()), now);
            default -> { }
        }
        return true;
    }

    private void onOpened(Opened answer, long now) {
        if (session != 0)
            return;
        if (!opened) {
            stream = answer.getStream();
            begin = answer.getBegin();
            next = answer.getOffset();
        } else if (answer.getBegin() != begin || answer.getOffset() < stored) {
            throw new RillError("offset", "another source has written since");
        }
        if (finishing && answer.getOffset() > next)
            throw new RillError("offset",
                    "another source with our token has written");
        opened = true;
        session = answer.getSession();
        sent = answer.getOffset();
        credit = answer.getCredit();
        heardAt = keptAt = moved = now;
        askedAt = Link.NEVER;
        finishSaid = false;
        letGo(answer.getOffset());
        if (answer.getSealed()) {
            sealed = true;
            settled = answer.getOffset();
        }
    }

    private void letGo(long safe) {
        if (safe > stored) {
            stored = safe;
            pause = 0;
        }
        while (!kept.isEmpty() && kept.peek().end() <= stored)
            kept.remove();
        sent = Math.max(sent, stored);
    }

    private void onProgress(long request, Progress progress, long now) {
        if (session == 0 || progress.getSession() != session)
            return;
        heardAt = moved = now;
        askedAt = Link.NEVER;
        credit = Math.max(credit, progress.getCredit());
        settled = Math.max(settled, progress.getSettled());
        letGo(progress.getStored());
        sealed |= progress.getSealed();
        if (request == keepRequest && progress.getReceived() < keepSent
                && !sealed)
            reopen(new RillError("offset", "bytes were lost on their way"),
                    now);
    }

    private void onRefused(RillError why, long now) {
        // Of one that is fenced the successor answers here soon.
        if (why.isFinal() && !why.is("fenced"))
            throw why;
        if (!why.retry.equals("reopen"))
            pause = Link.grow(pause, 50, 400);
        reopen(why, now);
    }
}
