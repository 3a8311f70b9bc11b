package rill;

import rill.v1.MessageOuterClass.Message;
import rill.v1.StatusOuterClass.Refused;
import rill.v1.StatusOuterClass.Status;

/** What a node refused, or why it could not be asked. */
public class RillError extends RuntimeException {
    /** unknown, taken, unreachable …; unlisted: newer than this library. */
    public final String status;
    /** never, later, elsewhere, reopen. */
    public final String retry;
    /** With offset, range, gone, future: the nearest right one, unsigned. */
    public final long offset;
    /** With taken: who has it. */
    public final String node;
    /** Of what came and is wrong; 0: not known. */
    final long request;

    private RillError(String status, String retry, String text, long offset,
            String node, long request) {
        super(text);
        this.status = status;
        this.retry = retry;
        this.offset = offset;
        this.node = node;
        this.request = request;
    }

    public RillError(String status, String text) {
        this(status, retry(status), text, 0, "", 0);
    }

    static RillError wrong(String status, String text, Message message) {
        return new RillError(status, retry(status), text, 0, "",
                message.getRequest());
    }

    static RillError of(Refused refused) {
        String retry = switch (refused.getRetryValue()) {
            case 1 -> "later";
            case 2 -> "elsewhere";
            case 3 -> "reopen";
            default -> "never";
        };
        return new RillError(word(refused.getStatus()), retry,
                refused.getText(), refused.getOffset(), refused.getNode(), 0);
    }

    static String word(Status status) {
        return switch (status) {
            case UNRECOGNIZED -> "unlisted";
            case STATUS_OK_UNSPECIFIED -> "ok";
            default -> status.name().substring("STATUS_".length())
                    .toLowerCase();
        };
    }

    private static String retry(String status) {
        return switch (status) {
            case "unreachable", "late", "busy" -> "later";
            case "corrupt" -> "elsewhere";
            default -> "never";
        };
    }

    /** Whether the question ends with what came and is wrong. */
    boolean concerns(long asked) {
        return request == 0 || request == asked;
    }

    boolean is(String word) {
        return status.equals(word);
    }

    boolean isFinal() {
        return retry.equals("never");
    }
}
