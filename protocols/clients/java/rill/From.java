package rill;

import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import rill.v1.Edge.Watch;

/** Where to begin to watch. */
public final class From {
    final Watch watch;

    private From(Watch.Builder watch) {
        this.watch = watch.build();
    }

    /** The newest place where a player can start. */
    public static From live() {
        return new From(Watch.newBuilder().setLive(true));
    }

    /** The oldest byte there is. */
    public static From start() {
        return new From(Watch.newBuilder().setStart(true));
    }

    public static From offset(long offset) {
        return new From(Watch.newBuilder().setOffset(offset));
    }

    /** So long before the newest chunk. */
    public static From back(Duration before) {
        return new From(Watch.newBuilder().setBackMs(before.toMillis()));
    }

    /** The last chunk that was made by then. */
    public static From time(Instant then) {
        return new From(Watch.newBuilder().setTimeUs(
                ChronoUnit.MICROS.between(Instant.EPOCH, then)));
    }
}
