package rill;

import com.google.protobuf.InvalidProtocolBufferException;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import org.zeromq.ZMQ;
import rill.v1.MessageOuterClass.Message;

/** One connection to a node's front. */
final class Link implements AutoCloseable {
    static final int HEAD_MOST = 64 << 10;
    static final int PAYLOAD_MOST = (4 << 20) + (4 << 10);
    static final long REACH = 3000, ANSWERED = 15000, EACH = 1000,
            PATIENCE = 30000, NEVER = Long.MAX_VALUE;
    private static final int VERSION = 1;
    private static final SecureRandom CHANCE = new SecureRandom();
    // One for all sockets of the process, while there are any: what was said
    // last leaves before it ends.
    private static ZMQ.Context context;
    private static int sockets;

    /** A message that came, and its payload where its body has one. */
    record Heard(Message message, byte[] payload) {
    }

    private final ZMQ.Socket socket;
    private boolean closed;

    Link(String at) {
        if (!at.contains(":"))
            throw new RillError("address", at + " is not HOST:PORT");
        socket = open(ZMQ.DEALER, 1000);
        try {
            connect(socket, "tcp://" + at);
        } catch (RillError why) {
            close();
            throw why;
        }
    }

    static synchronized ZMQ.Socket open(int kind, int queue) {
        if (context == null)
            context = ZMQ.context(1);
        ZMQ.Socket socket = context.socket(kind);
        sockets++;
        socket.setLinger(0);
        socket.setSndHWM(64);
        socket.setRcvHWM(queue);
        // Nothing is sent to who is not there.
        socket.setDelayAttachOnConnect(true);
        socket.setReconnectIVL(50);
        socket.setReconnectIVLMax(1000);
        socket.setMaxMsgSize(PAYLOAD_MOST);
        return socket;
    }

    static void connect(ZMQ.Socket socket, String endpoint) {
        try {
            socket.connect(endpoint);
        } catch (RuntimeException why) {
            throw new RillError("address", endpoint + ": " + why.getMessage());
        }
    }

    static synchronized void close(ZMQ.Socket socket, int linger) {
        socket.setLinger(linger);
        socket.close();
        if (--sockets == 0) {
            context.term();
            context = null;
        }
    }

    /** Milliseconds of a clock that only goes on. */
    static long now() {
        return System.nanoTime() / 1_000_000;
    }

    static long random() {
        return CHANCE.nextLong() >>> 1 | 1;
    }

    static long grow(long pause, long first, long most) {
        return pause == 0 ? first : Math.min(2 * pause, most);
    }

    static void sleep(long ms) {
        try {
            Thread.sleep(Math.max(ms, 0));
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
            throw new RillError("stopping", "this thread was interrupted");
        }
    }

    @Override
    public void close() {
        close(0);
    }

    void close(int linger) {
        if (!closed)
            close(socket, linger);
        closed = true;
    }

    /** False: nobody is there to take it within so long. */
    boolean send(Message.Builder message, byte[] payload, long within) {
        byte[] head = message.setVersion(VERSION).setTrace(random()).build()
                .toByteArray();
        if (head.length > HEAD_MOST)
            throw new RillError("too_large", "a head over 64 KiB is not sent");
        socket.setSendTimeOut((int) within);
        int more = payload == null ? 0 : ZMQ.SNDMORE;
        return socket.send(new byte[0], ZMQ.SNDMORE) && socket.send(head, more)
                && (payload == null || socket.send(payload, 0));
    }

    boolean send(Message.Builder message, long within) {
        return send(message, null, within);
    }

    /**
     * The frames of a message that comes until then, else null; of more than
     * three the first four, the rest is let go.
     */
    static List<byte[]> frames(ZMQ.Socket socket, long until) {
        long wait = Math.min(Math.max(until - now(), 0), 60000);
        socket.setReceiveTimeOut((int) wait);
        byte[] frame = socket.recv(0);
        if (frame == null)
            return null;
        List<byte[]> parts = new ArrayList<>();
        parts.add(frame);
        while (socket.hasReceiveMore()) {
            frame = socket.recv(0);
            if (frame == null)
                return null; // Who sent it is gone in the middle of it.
            if (parts.size() < 4)
                parts.add(frame);
        }
        return parts;
    }

    /** Null: nothing came until then. */
    Heard receive(long until) {
        List<byte[]> parts = frames(socket, until);
        if (parts == null)
            return null;
        if (parts.size() < 2 || parts.get(0).length != 0)
            throw new RillError("malformed", "a message of other parts came");
        if (parts.get(1).length > HEAD_MOST)
            throw new RillError("too_large", "a head over 64 KiB came");
        Message message;
        try {
            message = Message.parseFrom(parts.get(1));
        } catch (InvalidProtocolBufferException wrong) {
            throw new RillError("malformed",
                    "a head came that is no message");
        }
        if (message.getVersion() != VERSION)
            throw RillError.wrong("version",
                    "the node speaks another version", message);
        if (message.getBodyCase() == Message.BodyCase.BODY_NOT_SET)
            throw RillError.wrong("kind",
                    "the node said what is not known here", message);
        if (parts.size() != (hasPayload(message) ? 3 : 2))
            throw RillError.wrong("malformed",
                    "a payload is missing or too much", message);
        if (message.hasRefused() && message.getRefused().getStatusValue() == 0)
            throw RillError.wrong("malformed", "the node refused with OK",
                    message);
        return new Heard(message, parts.size() == 3 ? parts.get(2) : null);
    }

    private static boolean hasPayload(Message message) {
        return switch (message.getBodyCase()) {
            case PIECE, ANSWER, STORE, FETCHED, FLOW -> true;
            default -> false;
        };
    }
}
