package rill;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import rill.v1.Chunk.Kind;
import rill.v1.Edge.Described;
import rill.v1.EventOuterClass.Event;
import rill.v1.EventOuterClass.Sample;
import rill.v1.MessageOuterClass.Message;

/**
 * Drives the library for tests/plays/clients.py; what it prints is said in
 * protocols/clients/README.md.
 */
final class Conform {
    private static String quote(String text) {
        return '"' + text.replaceAll("([\"\\\\])", "\\\\$1")
                .replaceAll("\\p{Cntrl}", " ") + '"';
    }

    private static String id(long number) {
        return quote(String.format("%016x", number));
    }

    /** One object a line: names and values, as they are. */
    private static void say(Object... fields) {
        StringBuilder line = new StringBuilder();
        for (int i = 0; i < fields.length; i += 2)
            line.append(i == 0 ? '{' : ',').append('"').append(fields[i])
                    .append("\":").append(fields[i + 1]);
        System.out.println(line.append('}'));
    }

    private static void say(RillError why) {
        say("error", "{\"status\":" + quote(why.status) + ",\"retry\":"
                + quote(why.retry) + ",\"text\":" + quote(why.getMessage())
                + ",\"offset\":" + Long.toUnsignedString(why.offset) + "}");
    }

    private static MessageLite parse(String name, byte[] written)
            throws InvalidProtocolBufferException {
        if (name.startsWith("event"))
            return Event.parseFrom(written);
        return name.equals("sample.bin") ? Sample.parseFrom(written)
                : Message.parseFrom(written);
    }

    private static boolean golden(String folder) throws IOException {
        boolean all = true;
        List<Path> files;
        try (var list = Files.list(Path.of(folder))) {
            files = list.sorted().toList();
        }
        for (Path file : files) {
            String name = file.getFileName().toString();
            if (!name.endsWith(".bin") || name.equals("chunk_header.bin"))
                continue;
            byte[] written = Files.readAllBytes(file);
            boolean same = Arrays.equals(written,
                    parse(name, written).toByteArray());
            say("file", quote(name), "same", same);
            all &= same;
        }
        return all;
    }

    private static void say(Described is) {
        say("name", quote(is.getName()), "kind",
                quote(is.getKind() == Kind.KIND_LIVE ? "live" : "recorded"),
                "stream", id(is.getStream()), "stored", is.getStored(),
                "size", is.getSize(), "sealed", is.getSealed());
    }

    private static boolean describe(Client node, List<String> names) {
        boolean good = true;
        for (String name : names)
            try {
                say(node.describe(name));
            } catch (RillError why) {
                say(why);
                good = false;
            }
        return good;
    }

    private static void publish(Client node, String name, String path,
            boolean live) throws IOException {
        try (FileInputStream file = new FileInputStream(path);
                Publisher stream = node.publish(name,
                        live ? Source.LIVE : Source.RECORDED)) {
            byte[] bytes = new byte[64 << 10];
            for (int size; (size = file.read(bytes)) > 0;)
                stream.write(bytes, 0, size);
            stream.finish();
            say("stream", id(stream.stream()), "bytes",
                    stream.offset() - stream.begin());
        }
    }

    private static FileChannel create(String path) throws IOException {
        return FileChannel.open(Path.of(path), StandardOpenOption.WRITE,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING);
    }

    private static void read(Client node, String name, String out, String span)
            throws IOException {
        String[] ends = span.split("-");
        try (FileChannel file = create(out);
                Reader stream = ends.length < 2 ? node.read(name)
                        : node.read(name, Long.parseLong(ends[0]),
                                Long.parseLong(ends[1]))) {
            long count = 0;
            for (Piece piece : stream) {
                if (piece.isHole())
                    say("hole", List.of(piece.offset(), piece.to()));
                count += piece.bytes().remaining();
                file.write(piece.bytes());
            }
            say("bytes", count);
        }
    }

    private static From from(String text) {
        if (text.equals("live"))
            return From.live();
        if (text.equals("start"))
            return From.start();
        if (text.startsWith("-"))
            return From.back(Duration.parse("PT" + (text.endsWith("ms")
                    ? Long.parseLong(text.substring(1, text.length() - 2))
                            / 1000.0 + "s"
                    : text.substring(1))));
        return From.offset(Long.parseLong(text));
    }

    private static void watch(Client node, List<String> words)
            throws IOException {
        long most = Long.MAX_VALUE, count = 0;
        List<String> places = List.of();
        for (int i = 3; i + 1 < words.size(); i += 2)
            if (words.get(i).equals("--bytes"))
                most = Long.parseLong(words.get(i + 1));
            else
                places = List.of(words.get(i + 1).split(","));
        View view = new View(from(words.get(1)), 4 << 20, places,
                (at, offset) -> say("node", quote(at), "from", offset));
        try (FileChannel file = create(words.get(2));
                Watcher stream = node.watch(words.get(0), view)) {
            boolean ended = false;
            while (count < most && !ended) {
                Piece piece = stream.next();
                ended = piece == null;
                if (ended)
                    continue;
                if (piece.isHole())
                    say("skip", List.of(piece.offset(), piece.to()));
                ByteBuffer bytes = piece.bytes();
                bytes.limit((int) Math.min(bytes.limit(), most - count));
                count += bytes.remaining();
                file.write(bytes);
            }
            say("bytes", count, "ended", ended);
        }
    }

    private static void tap(Client node, String kinds, int count) {
        long lost = 0;
        try (Tap tap = node.tap(kinds.equals("all") ? new String[0]
                : kinds.split(","))) {
            while (count > 0) {
                Told told = tap.next(1000);
                if (told == null)
                    continue;
                count--;
                lost += told.lost();
                if (told.sample() != null)
                    say("kind", quote("sample"), "role",
                            quote(told.sample().getRole()), "node",
                            quote(told.sample().getNode()));
                else
                    say("kind", quote(told.kind()), "role",
                            quote(told.event().getRole()), "node",
                            quote(told.event().getNode()), "seq",
                            told.event().getSeq());
            }
        }
        say("lost", lost);
    }

    private static boolean run(List<String> words) throws IOException {
        if (words.get(0).equals("golden"))
            return golden(words.get(1));
        List<String> rest = words.subList(2, words.size());
        String last = words.size() > 4 ? words.get(4) : "";
        try (Client node = new Client(words.get(1))) {
            switch (words.get(0)) {
                case "describe":
                    return describe(node, rest);
                case "list":
                    node.list().forEach(Conform::say);
                    return true;
                case "publish":
                    publish(node, rest.get(0), rest.get(1),
                            last.equals("live"));
                    return true;
                case "read":
                    read(node, rest.get(0), rest.get(1), last);
                    return true;
                case "watch":
                    watch(node, rest);
                    return true;
                case "tap":
                    tap(node, rest.get(0), Integer.parseInt(rest.get(1)));
                    return true;
                default:
                    throw new RillError("argument", "no such verb");
            }
        }
    }

    public static void main(String[] words) {
        boolean good = false;
        try {
            good = run(List.of(words));
        } catch (RillError why) {
            say(why);
        } catch (IOException why) {
            say(new RillError("io", String.valueOf(why.getMessage())));
        } catch (IndexOutOfBoundsException | IllegalArgumentException why) {
            say(new RillError("argument",
                    "see protocols/clients/README.md"));
        }
        System.exit(good ? 0 : 1);
    }
}
