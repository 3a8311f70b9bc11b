import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import rill.Client;
import rill.From;
import rill.Piece;
import rill.RillError;
import rill.Source;
import rill.View;

/**
 * Publish what is read, or write a stream out as it grows: example publish
 * FORWARDER NAME &lt;FILE; example watch DIRECTOR NAME &gt;COPY.
 */
public final class Example {
    private static void publish(Client node, String name) throws IOException {
        try (var stream = node.publish(name, Source.LIVE)) {
            byte[] bytes = new byte[65536];
            for (int size; (size = System.in.read(bytes)) > 0;)
                stream.write(bytes, 0, size);
            stream.finish(); // Now it survives the loss of workers.
        }
    }

    private static void watch(Client node, String name) throws IOException {
        var out = new FileOutputStream(FileDescriptor.out).getChannel();
        try (var stream = node.watch(name, View.of(From.start()))) {
            for (Piece piece : stream)
                out.write(piece.bytes()); // Of a hole there are none.
        }
    }

    public static void main(String[] words) throws IOException {
        if (words.length != 3) {
            System.err.println("example publish|watch HOST:PORT NAME");
            System.exit(64);
        }
        try (var node = new Client(words[1])) {
            if (words[0].equals("publish"))
                publish(node, words[2]);
            else
                watch(node, words[2]);
        } catch (RillError why) {
            System.err.println(why.status + ": " + why.getMessage());
            System.exit(1);
        }
    }
}
