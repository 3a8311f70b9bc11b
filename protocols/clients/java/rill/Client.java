package rill;

import java.util.ArrayList;
import java.util.List;
import rill.v1.Edge.Describe;
import rill.v1.Edge.Described;
import rill.v1.Edge.Listing;
import rill.v1.MessageOuterClass.Message;

/**
 * Asks one node: the forwarder, a cache or the director. Like all here it is
 * for one thread at a time, and nothing of this library runs in the
 * background: what keeps a session alive is said within write() and next().
 */
public final class Client implements AutoCloseable {
    private final String at;
    private final Link link;

    /** To HOST:PORT. Whether it is there shows with the first question. */
    public Client(String at) {
        this.at = at;
        this.link = new Link(at);
    }

    /** Publishers, readers and watchers go on. */
    @Override
    public void close() {
        link.close();
    }

    public Described describe(String name) {
        return ask(Message.newBuilder().setDescribe(
                Describe.newBuilder().setName(name)),
                Message.BodyCase.DESCRIBED).getDescribed();
    }

    /** All streams, by name. */
    public List<Described> list() {
        List<Described> all = new ArrayList<>();
        Message.Builder question = Message.newBuilder();
        question.getListBuilder();
        for (;;) {
            Listing page = ask(question, Message.BodyCase.LISTING).getListing();
            all.addAll(page.getStreamsList());
            if (!page.getMore() || page.getStreamsCount() == 0)
                return all;
            question.getListBuilder().setAfter(all.get(all.size() - 1)
                    .getName());
        }
    }

    public Publisher publish(String name, Source source) {
        return new Publisher(at, name, source);
    }

    /** All that is stored now. */
    public Reader read(String name) {
        return new Reader(at, describe(name), Reader.FIRST, Reader.END);
    }

    /** The bytes [from, to). */
    public Reader read(String name, long from, long to) {
        return new Reader(at, describe(name), from, to);
    }

    public Watcher watch(String name, View view) {
        return new Watcher(at, name, view);
    }

    /**
     * Events of this node and all that it names, the director the whole tree.
     * Kinds are those of rill.v1.Event, and "sample"; none: all events.
     */
    public Tap tap(String... kinds) {
        return new Tap(at, kinds);
    }

    /**
     * Any other question. What may have been lost with a connection is asked
     * again, who is busy too; other refusals are thrown.
     */
    public Message ask(Message.Builder question, Message.BodyCase wanted) {
        return ask(question, wanted, Link.REACH);
    }

    Message ask(Message.Builder question, Message.BodyCase wanted,
            long within) {
        question.setRequest(Link.random());
        long until = Link.now() + Link.ANSWERED;
        RillError last = new RillError("late", "no answer from " + at);
        while (Link.now() < until) {
            if (!link.send(question, within))
                throw new RillError("unreachable", "nobody answers at " + at);
            Message answer = await(question.getRequest(), Link.now() + 2000);
            if (answer == null)
                continue;
            if (answer.getBodyCase() == wanted)
                return answer;
            if (!answer.hasRefused())
                throw new RillError("kind",
                        "the node answered another question");
            last = RillError.of(answer.getRefused());
            if (!last.is("busy"))
                throw last;
            Link.sleep(100);
        }
        throw last;
    }

    private Message await(long request, long until) {
        for (;;)
            try {
                Link.Heard heard = link.receive(until);
                if (heard == null)
                    return null;
                if (heard.message().getRequest() == request)
                    return heard.message();
            } catch (RillError wrong) {
                if (wrong.concerns(request))
                    throw wrong;
            }
    }
}
