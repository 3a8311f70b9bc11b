//  conform - drives the library for tests/plays/clients.py; what it prints is
//  said in protocols/clients/README.md
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include <fcntl.h>
#include <unistd.h>

#include "rill.hpp"

namespace
{

using args = std::vector<std::string>;

std::string
quote(const std::string &text)
{
    std::string all = "\"";
    for (char c : text)
        if (c == '"' || c == '\\')
            all += { '\\', c };
        else if (static_cast<unsigned char>(c) < ' ')
            all += ' ';
        else
            all += c;
    return all + '"';
}

std::string
id(std::uint64_t number)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)number);
    return quote(text);
}

std::string
pair(std::uint64_t from, std::uint64_t to)
{
    return "[" + std::to_string(from) + "," + std::to_string(to) + "]";
}

const char *
yes(bool true_thing)
{
    return true_thing ? "true" : "false";
}

//  One object a line: {"name": value, …}, values as they are.
void
say(std::initializer_list<std::pair<const char *, std::string>> fields)
{
    const char *before = "{";
    for (auto &[name, value] : fields) {
        std::cout << before << '"' << name << "\":" << value;
        before = ",";
    }
    std::cout << '}' << std::endl;
}

void
say_error(const rill::error &why)
{
    say({ { "error", "{\"status\":" + quote(why.status) + ",\"retry\":" +
                         quote(why.retry) + ",\"text\":" + quote(why.what()) +
                         ",\"offset\":" + std::to_string(why.offset) + "}" } });
}

std::ofstream
create(const std::string &path)
{
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    if (!file)
        throw rill::error("io", path + " cannot be written");
    return file;
}

//  OUT is written as the bytes come.
void
put(std::ofstream &file, std::string_view bytes)
{
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush())
        throw rill::error("io", "the file takes no more");
}

template <typename Body>
bool
same(const std::string &written)
{
    Body body;
    return body.ParseFromString(written) && body.SerializeAsString() == written;
}

bool
golden(const std::string &folder)
{
    bool all = true;
    for (auto &entry : std::filesystem::directory_iterator(folder)) {
        std::string name = entry.path().filename();
        if (entry.path().extension() != ".bin" || name == "chunk_header.bin")
            continue;
        std::ifstream file(entry.path(), std::ios::binary);
        std::string written(std::istreambuf_iterator<char>(file), {});
        bool good = name.rfind("event", 0) == 0 ? same<rill::v1::Event>(written)
                    : name == "sample.bin" ? same<rill::v1::Sample>(written)
                                           : same<rill::v1::Message>(written);
        say({ { "file", quote(name) }, { "same", yes(good) } });
        all = all && good;
    }
    return all;
}

void
say_stream(const rill::v1::Described &is)
{
    say({ { "name", quote(is.name()) },
          { "kind",
            quote(is.kind() == rill::v1::KIND_LIVE ? "live" : "recorded") },
          { "stream", id(is.stream()) },
          { "stored", std::to_string(is.stored()) },
          { "size", std::to_string(is.size()) },
          { "sealed", yes(is.sealed()) } });
}

bool
describe(rill::client &node, const args &names)
{
    bool good = true;
    for (const std::string &name : names)
        try {
            say_stream(node.describe(name));
        } catch (const rill::error &why) {
            say_error(why);
            good = false;
        }
    return good;
}

void
publish(rill::client &node, const std::string &name, const std::string &path,
        bool live)
{
    int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0)
        throw rill::error("absent", path + " cannot be read");
    rill::source what;
    what.live = live;
    auto stream = node.publish(name, what);
    std::string bytes(64 << 10, 0);
    for (ssize_t size; (size = read(file, bytes.data(), bytes.size())) > 0;)
        stream.write({ bytes.data(), static_cast<std::size_t>(size) });
    close(file);
    stream.finish();
    say({ { "stream", id(stream.stream()) },
          { "bytes", std::to_string(stream.offset() - stream.begin()) } });
}

void
read(rill::client &node, const std::string &name, const std::string &out,
     const std::string &span)
{
    unsigned long long from = rill::FIRST, to = rill::END;
    sscanf(span.c_str(), "%llu-%llu", &from, &to);
    auto file = create(out);
    auto stream = node.read(name, from, to);
    std::uint64_t count = 0;
    while (auto piece = stream.next()) {
        if (piece->hole())
            say({ { "hole", pair(piece->offset, piece->to) } });
        put(file, piece->bytes());
        count += piece->bytes().size();
    }
    say({ { "bytes", std::to_string(count) } });
}

rill::from
place(const std::string &text)
{
    unsigned long long number = 0;
    char unit[3] = "";
    if (text == "live")
        return rill::from::live();
    if (text == "start")
        return rill::from::start();
    if (sscanf(text.c_str(), "-%llu%2s", &number, unit) == 2)
        return rill::from::back(
            rill::millis(number * (unit[0] == 'm' ? 1 : 1000)));
    return rill::from::offset(std::stoull(text));
}

void
watch(rill::client &node, const args &words)
{
    rill::view how;
    how.from = place(words.at(1));
    how.begun = [](const std::string &at, std::uint64_t from) {
        say({ { "node", quote(at) }, { "from", std::to_string(from) } });
    };
    std::uint64_t most = UINT64_MAX, count = 0;
    for (std::size_t i = 3; i + 1 < words.size(); i += 2)
        if (words[i] == "--bytes")
            most = std::stoull(words[i + 1]);
        else {
            std::istringstream list(words[i + 1]);
            for (std::string at; std::getline(list, at, ',');)
                how.places.push_back(at);
        }
    auto file = create(words.at(2));
    auto stream = node.watch(words.at(0), how);
    bool ended = false;
    while (count < most && !ended) {
        auto piece = stream.next();
        ended = !piece;
        if (ended)
            break;
        if (piece->hole())
            say({ { "skip", pair(piece->offset, piece->to) } });
        auto bytes = piece->bytes().substr(0, most - count);
        put(file, bytes);
        count += bytes.size();
    }
    say({ { "bytes", std::to_string(count) }, { "ended", yes(ended) } });
}

void
tap(rill::client &node, const std::string &names, long count)
{
    args kinds;
    std::istringstream list(names == "all" ? "" : names);
    for (std::string kind; std::getline(list, kind, ',');)
        kinds.push_back(kind);
    auto ear = node.tap(kinds);
    std::uint64_t lost = 0;
    while (count > 0) {
        auto told = ear.next(rill::millis(1000));
        if (!told)
            continue;
        count--;
        lost += told->lost;
        if (told->sample)
            say({ { "kind", quote("sample") },
                  { "role", quote(told->sample->role()) },
                  { "node", quote(told->sample->node()) } });
        else
            say({ { "kind", quote(told->kind) },
                  { "role", quote(told->event->role()) },
                  { "node", quote(told->event->node()) },
                  { "seq", std::to_string(told->event->seq()) } });
    }
    say({ { "lost", std::to_string(lost) } });
}

bool
run(const args &words)
{
    const std::string &verb = words.at(0);
    auto word = [&](std::size_t nth) {
        return nth < words.size() ? words[nth] : std::string();
    };
    if (verb == "golden")
        return golden(words.at(1));
    rill::client node(words.at(1));
    args rest(words.begin() + 2, words.end());
    if (verb == "describe")
        return describe(node, rest);
    if (verb == "list")
        for (auto &is : node.list())
            say_stream(is);
    else if (verb == "publish")
        publish(node, words.at(2), words.at(3), word(4) == "live");
    else if (verb == "read")
        read(node, words.at(2), words.at(3), word(4));
    else if (verb == "watch")
        watch(node, rest);
    else if (verb == "tap")
        tap(node, words.at(2), std::stol(words.at(3)));
    else
        throw rill::error("argument", "no verb " + verb);
    return true;
}

}  // namespace

int
main(int count, char **words)
{
    try {
        return run(args(words + 1, words + count)) ? 0 : 1;
    } catch (const rill::error &why) {
        say_error(why);
    } catch (const std::logic_error &) {
        say_error(rill::error("argument", "see protocols/clients/README.md"));
    }
    return 1;
}
