package rill;

/**
 * What is published. `protect`: "auto", "none", "4+2"; `chunkBytes` 0: rill
 * chooses; `token`: of an earlier publisher, to go on, 0: a new source.
 */
public record Source(boolean live, String protect, int chunkBytes,
        long token) {
    /** A file. */
    public static final Source RECORDED = new Source(false, "auto", 0, 0);
    /** Still growing. */
    public static final Source LIVE = new Source(true, "auto", 0, 0);
}
