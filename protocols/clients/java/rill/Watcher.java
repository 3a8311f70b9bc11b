package rill;

import java.util.ArrayList;
import java.util.List;
import rill.v1.Chunk.ChunkHeader;
import rill.v1.Edge.Over;
import rill.v1.Edge.Flow;
import rill.v1.Edge.Watch;
import rill.v1.Edge.Watched;
import rill.v1.MessageOuterClass.Message;

/** Gets a stream as it grows, from one cache after the other. */
public final class Watcher extends Pieces {
    private static final long REACH = 1000; // Else the next node is tried,
    private static final long ANSWER = 3000; // so when one is silent.
    private static final long SETTLED = 5000; // One that began anew knows.

    private record Place(String node, String at) {
    }

    private final String director, name;
    private final View view;
    private List<Place> places;
    private int nth;
    private final List<String> failed = new ArrayList<>(); // Since the offer.
    private Link link;
    private long request, taken, credit; // Of this session.
    private long stream, next;
    private boolean opened, begun, over;
    private long openAt, keepAt, moved = Link.now(), askedAt = Link.NEVER;
    private long pause;
    private RillError last = new RillError("late", "nothing came");

    Watcher(String director, String name, View view) {
        this.director = director;
        this.name = name;
        this.view = view;
        places = view.places().stream().map(at -> new Place(at, at)).toList();
        if (places.isEmpty())
            askDirector(Link.REACH);
        if (places.isEmpty())
            throw new RillError("busy", "no node offers the stream");
    }

    /** Where to go; without an offer the list there is stays. */
    private void askDirector(long within) {
        Message.Builder question = Message.newBuilder();
        question.getWhereBuilder().setName(name).setWatch(true)
                .addAllNot(failed);
        try (Client client = new Client(director)) {
            List<Place> offered = client.ask(question, Message.BodyCase.OFFER,
                    within).getOffer().getPlacesList().stream()
                    .map(one -> new Place(one.getNode(), one.getAt()))
                    .toList();
            if (!offered.isEmpty())
                places = offered;
        }
    }

    @Override
    public Piece next() {
        moved = Link.now(); // The owner was silent, not the node.
        if (askedAt != Link.NEVER)
            askedAt = moved;
        try {
            while (!over) {
                Piece piece = step();
                if (piece != null)
                    return piece;
            }
        } catch (RuntimeException why) {
            close();
            throw why;
        }
        close();
        return null;
    }

    /** Stop watching; the node is told. */
    @Override
    public void close() {
        over = true;
        hangUp();
    }

    private void hangUp() {
        if (link != null) {
            Message.Builder message = Message.newBuilder();
            message.getStopBuilder();
            say(message, 0);
            link.close(200);
        }
        link = null;
        opened = false;
    }

    private boolean say(Message.Builder message, long within) {
        return link.send(message.setRequest(request), within);
    }

    private RillError unreachable() {
        return new RillError("unreachable",
                "nobody answers at " + places.get(nth).at());
    }

    private Piece step() {
        long now = Link.now();
        if (now - moved > Link.PATIENCE)
            throw last;
        if (link == null) {
            Link.sleep(openAt - now);
            begin(Link.now());
            return null;
        }
        long silentAt = askedAt == Link.NEVER ? Link.NEVER : askedAt + ANSWER;
        Link.Heard heard;
        try {
            heard = link.receive(Math.min(keepAt, silentAt));
        } catch (RillError wrong) {
            if (wrong.concerns(request))
                leave(wrong, Link.now());
            return null;
        }
        now = Link.now();
        if (heard != null)
            return hear(heard, now);
        if (now >= silentAt)
            leave(new RillError("late",
                    "no answer from " + places.get(nth).at()), now);
        else if (now >= keepAt)
            keep(now);
        return null;
    }

    /** A session at the place whose turn it is. */
    private void begin(long now) {
        link = new Link(places.get(nth).at());
        Watch.Builder watch = view.from().watch.toBuilder()
                .setCredit(view.window());
        if (begun)
            watch.setOffset(next);
        if (stream != 0)
            watch.setStream(stream);
        else
            watch.setName(name);
        request = Link.random();
        taken = 0;
        credit = view.window();
        if (!say(Message.newBuilder().setWatch(watch), REACH)) {
            leave(unreachable(), Link.now());
            return;
        }
        askedAt = now;
        keepAt = now + Link.EACH;
    }

    private void keep(long now) {
        credit = taken + view.window();
        Message.Builder message = Message.newBuilder();
        message.getWatchKeepBuilder().setCredit(credit);
        if (!say(message, REACH)) {
            leave(unreachable(), Link.now());
            return;
        }
        keepAt = now + Link.EACH;
        askedAt = Math.min(askedAt, now);
    }

    /** At the same node, after a pause that grows while nothing comes. */
    private void again(RillError why, long now) {
        hangUp();
        last = why;
        openAt = now + pause;
        pause = Link.grow(pause, 100, 1000);
        askedAt = Link.NEVER;
    }

    private void lost(long now) {
        again(new RillError("late", "a chunk was lost on its way"), now);
    }

    /** For the next place; behind the last one the director is asked anew. */
    private void leave(RillError why, long now) {
        again(why, now);
        failed.add(places.get(nth).node());
        if (++nth < places.size())
            return;
        nth = 0;
        if (!begun && why.is("unreachable") && now - moved > Link.REACH)
            throw why;
        if (view.places().isEmpty())
            try {
                askDirector(REACH);
            } catch (RillError none) {
                last = why; // The list there is will do.
            }
        failed.clear();
    }

    private Piece hear(Link.Heard heard, long now) {
        Message message = heard.message();
        if (message.getRequest() != request)
            return null;
        askedAt = Link.NEVER;
        switch (message.getBodyCase()) {
            case WATCHED:
                return onWatched(message.getWatched(), now);
            case FLOW:
                return onFlow(message.getFlow(), heard.payload(), now);
            case SKIP:
                if (message.getSkip().getFrom() <= next)
                    return skip(message.getSkip().getTo(), now);
                lost(now);
                break;
            case WATCHING:
                moved = now;
                // What it sent came before this word, or is lost.
                if (opened && message.getWatching().getAt() > next)
                    lost(now);
                break;
            case OVER:
                onOver(message.getOver(), now);
                break;
            case REFUSED:
                onRefused(RillError.of(message.getRefused()), now);
                break;
            default:
                break;
        }
        return null;
    }

    private void onOver(Over end, long now) {
        if (end.getStatusValue() != 0)
            leave(new RillError(RillError.word(end.getStatus()),
                    "the node cannot go on"), now);
        else if (end.getAt() > next)
            lost(now);
        else
            over = true;
    }

    private Piece skip(long to, long now) {
        if (to <= next)
            return null;
        Piece hole = Piece.hole(next, to);
        next = to;
        moved = now;
        pause = 0;
        return hole;
    }

    private Piece onWatched(Watched watched, long now) {
        if (opened)
            return null;
        if (watched.getStream() == 0
                || stream != 0 && watched.getStream() != stream) {
            leave(new RillError("malformed", "another stream began"), now);
            return null;
        }
        opened = true;
        stream = watched.getStream();
        moved = now;
        if (!begun)
            next = watched.getFrom();
        begun = true;
        view.begun().at(places.get(nth).node(), watched.getFrom());
        return skip(watched.getFrom(), now);
    }

    private Piece onFlow(Flow flow, byte[] payload, long now) {
        if (!opened)
            return null;
        ChunkHeader chunk = flow.getChunk();
        if (!Piece.checked(chunk, stream, payload)) {
            leave(new RillError("corrupt",
                    "a chunk came that is not what was written"), now);
            return null;
        }
        if (chunk.getOffset() > next) {
            lost(now);
            return null;
        }
        taken += payload.length;
        long end = chunk.getOffset() + payload.length;
        Piece piece = null;
        if (end > next) {
            piece = Piece.of(chunk, payload, next, end);
            next = end;
            moved = now;
            pause = 0;
        }
        if (taken + view.window() - credit >= view.window() / 4
                || now >= keepAt)
            keep(now);
        return piece;
    }

    private void onRefused(RillError why, long now) {
        if (begun && why.is("range") && next >= why.offset) {
            over = true; // It ended meanwhile.
            return;
        }
        if (why.is("session")) {
            again(why, now);
            return;
        }
        // A node that is behind says FUTURE, one that has just begun may not
        // know the stream yet.
        boolean waits = begun && (why.is("future")
                || why.is("unknown") && now - moved < SETTLED);
        if (!waits && (why.isFinal() || why.is("future")))
            throw why;
        leave(why, now);
    }
}
