//  example - publish what is read, or write a stream out as it grows:
//
//      example publish FORWARDER NAME <FILE
//      example watch DIRECTOR NAME >COPY
#include <iostream>
#include <unistd.h>

#include "rill.hpp"

static void
publish(rill::client &node, const char *name)
{
    auto stream = node.publish(name, { true });  //  Live
    char bytes[65536];
    for (ssize_t size; (size = read(STDIN_FILENO, bytes, sizeof bytes)) > 0;)
        stream.write({ bytes, static_cast<std::size_t>(size) });
    stream.finish();  //  Now it survives the loss of workers
}

static void
watch(rill::client &node, const char *name)
{
    auto stream = node.watch(name, { rill::from::start() });
    while (auto piece = stream.next())
        std::cout << piece->bytes() << std::flush;  //  Of a hole none
}

int
main(int count, char **words)
{
    const std::string verb = count == 4 ? words[1] : "";
    if (verb != "publish" && verb != "watch") {
        std::cerr << "example publish|watch HOST:PORT NAME\n";
        return 64;
    }
    try {
        rill::client node(words[2]);
        (verb == "publish" ? publish : watch)(node, words[3]);
    } catch (const rill::error &why) {
        std::cerr << why.status << ": " << why.what() << '\n';
        return 1;
    }
}
