package rill;

import com.google.protobuf.InvalidProtocolBufferException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.zeromq.ZMQ;
import rill.v1.Edge.Report;
import rill.v1.EventOuterClass.Event;
import rill.v1.EventOuterClass.Sample;
import rill.v1.MessageOuterClass.Message;

/** Listens to the events of all nodes that the one asked names. */
public final class Tap implements AutoCloseable {
    private static final int QUEUE = 10000; // More are lost, and counted.

    private final ZMQ.Socket socket = Link.open(ZMQ.SUB, QUEUE);
    private final Map<String, Long> seen = new HashMap<>(); // Node and kind.
    private final List<String> nodes = new ArrayList<>();
    private final List<String> silent = new ArrayList<>();
    private boolean closed;

    Tap(String at, String[] kinds) {
        if (kinds.length == 0)
            socket.subscribe("ev.v1.".getBytes());
        Set<String> known = new HashSet<>(List.of(at, ""));
        Deque<Report> reports = new ArrayDeque<>();
        try {
            reports.add(report(at, Link.REACH));
            while (!reports.isEmpty()) {
                Report report = reports.remove();
                join(report, kinds);
                report.getNodesList().forEach(
                        node -> visit(node.getAt(), known, reports));
                report.getWorkersList().forEach(
                        worker -> visit(worker.getReach()
                                .replace("tcp://", ""), known, reports));
            }
        } catch (RillError why) {
            close();
            throw why;
        }
    }

    /** Nodes that it listens to. */
    public List<String> nodes() {
        return List.copyOf(nodes);
    }

    /** Addresses where nobody answered. */
    public List<String> silent() {
        return List.copyOf(silent);
    }

    private static Report report(String at, long within) {
        Message.Builder question = Message.newBuilder();
        question.getStatusAskBuilder();
        try (Client client = new Client(at)) {
            return client.ask(question, Message.BodyCase.REPORT, within)
                    .getReport();
        }
    }

    private void visit(String at, Set<String> known, Deque<Report> reports) {
        if (!known.add(at))
            return;
        try {
            reports.add(report(at, Link.EACH));
        } catch (RillError nobody) {
            silent.add(at);
        }
    }

    private void join(Report report, String[] kinds) {
        if (report.getTapAt().isEmpty() || nodes.contains(report.getNode()))
            return;
        Link.connect(socket, report.getTapAt());
        nodes.add(report.getNode());
        String whose = report.getRole() + "." + report.getNode();
        for (String kind : kinds)
            socket.subscribe((kind.equals("sample") ? "st.v1." + whose
                    : "ev.v1." + whose + "." + kind).getBytes());
    }

    @Override
    public void close() {
        if (!closed)
            Link.close(socket, 0);
        closed = true;
    }

    /** Null: none came for so many milliseconds. */
    public Told next(long wait) {
        List<byte[]> parts = Link.frames(socket, Link.now() + wait);
        if (parts == null)
            return null;
        if (parts.size() != 2 || parts.get(1).length > Link.HEAD_MOST)
            throw new RillError("malformed", "an event of other parts came");
        try {
            if (parts.get(0).length > 0 && parts.get(0)[0] == 's')
                return count(Sample.parseFrom(parts.get(1)));
            return count(Event.parseFrom(parts.get(1)));
        } catch (InvalidProtocolBufferException wrong) {
            throw new RillError("malformed", "an event came that is none");
        }
    }

    /** With what was lost before it. */
    private Told count(Sample sample) {
        long[] lost = { 0 };
        sample.getToldList().forEach(kind -> seen.computeIfPresent(
                sample.getNode() + " " + kind.getKind(), (key, last) -> {
                    lost[0] += Math.max(kind.getSeq() - last, 0);
                    return kind.getSeq();
                }));
        return new Told("sample", null, sample, lost[0]);
    }

    private Told count(Event event) {
        var field = event.getOneofFieldDescriptor(
                Event.getDescriptor().getOneofs().get(0));
        String kind = field == null ? "" : field.getName();
        Long last = seen.put(event.getNode() + " " + kind, event.getSeq());
        long lost = last == null ? 0
                : Math.max(event.getSeq() - last - 1, 0);
        return new Told(kind, event, null, lost);
    }
}
