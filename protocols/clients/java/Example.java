import java.io.FileInputStream;
import java.io.IOException;
import java.nio.channels.Channels;
import rill.Client;
import rill.From;
import rill.Piece;
import rill.Publisher;
import rill.RillError;
import rill.Source;
import rill.View;
import rill.Watcher;

/**
 * Publish a file, or follow a stream as it grows: example publish FORWARDER
 * NAME FILE; example watch DIRECTOR NAME >FILE.
 */
public final class Example {
    private static void publish(Client node, String name, String path)
            throws IOException {
        try (FileInputStream file = new FileInputStream(path);
                Publisher stream = node.publish(name, Source.RECORDED)) {
            byte[] bytes = new byte[65536];
            for (int size; (size = file.read(bytes)) > 0;)
                stream.write(bytes, 0, size);
            stream.finish(); // Now it survives the loss of workers.
        }
    }

    private static void watch(Client node, String name) throws IOException {
        var out = Channels.newChannel(System.out);
        try (Watcher stream = node.watch(name, View.of(From.start()))) {
            for (Piece piece : stream)
                if (piece.isHole())
                    System.err.println("nothing up to " + piece.to());
                else
                    out.write(piece.bytes());
        }
    }

    public static void main(String[] words) throws IOException {
        try (Client node = new Client(words[1])) {
            if (words[0].equals("publish"))
                publish(node, words[2], words[3]);
            else
                watch(node, words[2]);
        } catch (RillError why) {
            System.err.println(why.status + ": " + why.getMessage());
            System.exit(1);
        }
    }
}
