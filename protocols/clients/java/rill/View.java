package rill;

import java.util.List;

/**
 * How to watch. `window`: bytes that may be on their way; `places`: HOST:PORT
 * in order, none: as the director says.
 */
public record View(From from, long window, List<String> places, Begun begun) {
    /** A node begins to send, from an offset. */
    public interface Begun {
        void at(String node, long from);
    }

    public static View of(From from) {
        return new View(from, 4 << 20, List.of(), (node, offset) -> { });
    }
}
