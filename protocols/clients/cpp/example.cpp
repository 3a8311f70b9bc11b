//  example - publish a file, or follow a stream as it grows:
//
//      example publish FORWARDER NAME FILE
//      example watch DIRECTOR NAME >FILE
#include <fstream>
#include <iostream>

#include "rill.hpp"

static void
publish(rill::client &node, const char *name, const char *path)
{
    std::ifstream file(path, std::ios::binary);
    auto stream = node.publish(name);
    for (char bytes[65536]; file;) {
        file.read(bytes, sizeof bytes);
        stream.write({ bytes, static_cast<std::size_t>(file.gcount()) });
    }
    stream.finish();  //  Now it survives the loss of workers
}

static void
watch(rill::client &node, const char *name)
{
    rill::view how;
    how.from = rill::from::start();
    auto stream = node.watch(name, how);
    while (auto piece = stream.next())
        if (piece->hole())
            std::cerr << "nothing up to " << piece->to << '\n';
        else
            std::cout << piece->bytes() << std::flush;
}

int
main(int count, char **words)
{
    if (count < 4) {
        std::cerr << "example publish|watch HOST:PORT NAME [FILE]\n";
        return 64;
    }
    try {
        rill::client node(words[2]);
        if (words[1] == std::string("publish") && count > 4)
            publish(node, words[3], words[4]);
        else
            watch(node, words[3]);
    } catch (const rill::error &why) {
        std::cerr << why.status << ": " << why.what() << '\n';
        return 1;
    }
}
