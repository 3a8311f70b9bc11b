//  One connection, and questions over it.
#include "rill.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <random>
#include <thread>

namespace rill
{
namespace
{

constexpr std::uint32_t VERSION = 1;

//  A signal is no failure.
template <typename Deed>
auto
through(Deed deed)
{
    for (;;)
        try {
            return deed();
        } catch (const zmq::error_t &error) {
            if (error.num() != EINTR)
                throw;
        }
}

//  One for all sockets of the process, while there are any.
std::shared_ptr<zmq::context_t>
context()
{
    static std::mutex guard;
    static std::weak_ptr<zmq::context_t> known;
    std::lock_guard<std::mutex> guarded(guard);
    auto one = known.lock();
    if (!one)
        known = one = std::make_shared<zmq::context_t>();
    return one;
}

std::string
retry_of(const std::string &status)
{
    if (status == "unreachable" || status == "late" || status == "busy")
        return "later";
    return status == "corrupt" ? "elsewhere" : "never";
}

bool
has_payload(const v1::Message &message)
{
    return message.has_piece() || message.has_answer() || message.has_store() ||
           message.has_fetched() || message.has_flow();
}

bool
send_frame(zmq::socket_t &socket, const void *bytes, std::size_t size,
           bool more)
{
    auto flags = more ? zmq::send_flags::sndmore : zmq::send_flags::none;
    return through([&] {
               return socket.send(zmq::const_buffer(bytes, size), flags);
           })
        .has_value();
}

}  // namespace

error::error(std::string word, const std::string &text)
    : std::runtime_error(text), status(std::move(word)), retry(retry_of(status))
{
}

error::error(const v1::Refused &refused)
    : std::runtime_error(refused.text()),
      status(detail::word(refused.status())), offset(refused.offset()),
      node(refused.node())
{
    static const std::array<const char *, 4> words{ "never", "later",
                                                    "elsewhere", "reopen" };
    auto number = static_cast<unsigned>(refused.retry());
    retry = number < words.size() ? words[number] : "never";
}

namespace detail
{

std::uint64_t
random()
{
    static thread_local std::random_device chance;
    std::uint64_t high = chance();
    return (high << 31 ^ chance()) >> 1 | 1;
}

std::string
word(int status)
{
    if (!v1::Status_IsValid(status))
        return "unlisted";
    std::string name = v1::Status_Name(status).substr(strlen("STATUS_"));
    if (status == 0)
        return "ok";
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    return name;
}

millis
grow(millis pause, int first, int most)
{
    return pause.count() == 0 ? millis(first)
                              : std::min(2 * pause, millis(most));
}

held_socket
open_socket(zmq::socket_type kind, int queue)
{
    held_socket held{ context(), {} };
    zmq::socket_t &socket = held.socket;
    socket = zmq::socket_t(*held.context, kind);
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::sndhwm, 64);
    socket.set(zmq::sockopt::rcvhwm, queue);
    //  Nothing is sent to who is not there.
    socket.set(zmq::sockopt::immediate, true);
    socket.set(zmq::sockopt::reconnect_ivl, 50);
    socket.set(zmq::sockopt::reconnect_ivl_max, 1000);
    socket.set(zmq::sockopt::ipv6, true);
    socket.set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(PAYLOAD_MOST));
    return held;
}

void
connect_socket(zmq::socket_t &socket, const std::string &endpoint)
{
    try {
        through([&] { socket.connect(endpoint); });
    } catch (const zmq::error_t &why) {
        throw error("address", endpoint + ": " + why.what());
    }
}

//  The frames of a message that comes until then; of more than three the first
//  four, the rest is let go.
std::vector<zmq::message_t>
frames(zmq::socket_t &socket, moment until)
{
    zmq::pollitem_t item{ socket.handle(), 0, ZMQ_POLLIN, 0 };
    for (;;) {
        auto wait = std::chrono::ceil<millis>(until - clock::now());
        long ms = std::clamp<long>(wait.count(), 0, 60000);
        if (zmq_poll(&item, 1, ms) > 0)
            break;
        if (clock::now() >= until)
            return {};
    }
    std::vector<zmq::message_t> parts;
    for (bool more = true; more;) {
        zmq::message_t frame;
        if (!through(
                [&] { return socket.recv(frame, zmq::recv_flags::dontwait); }))
            return {};
        more = frame.more();
        if (parts.size() < 4)
            parts.push_back(std::move(frame));
    }
    return parts;
}

}  // namespace detail

link::link(const std::string &at)
    : held(detail::open_socket(zmq::socket_type::dealer, 1000))
{
    if (at.find(':') == std::string::npos)
        throw error("address", at + " is not HOST:PORT");
    detail::connect_socket(held.socket, "tcp://" + at);
}

void
link::close(millis linger)
{
    if (held.socket.handle())
        held.socket.set(zmq::sockopt::linger, static_cast<int>(linger.count()));
    held.socket.close();
}

bool
link::send(v1::Message &message, std::string_view payload, millis within)
{
    message.set_version(VERSION);
    message.set_trace(detail::random());
    std::string head = message.SerializeAsString();
    if (head.size() > detail::HEAD_MOST)
        throw error("too_large", "a head over 64 KiB is not sent");
    bool more = has_payload(message);
    zmq::socket_t &socket = held.socket;
    socket.set(zmq::sockopt::sndtimeo, static_cast<int>(within.count()));
    return send_frame(socket, nullptr, 0, true) &&
           send_frame(socket, head.data(), head.size(), more) &&
           (!more || send_frame(socket, payload.data(), payload.size(), false));
}

std::optional<link::heard>
link::receive(moment until)
{
    auto parts = detail::frames(held.socket, until);
    if (parts.empty())
        return {};
    heard what;
    if (parts.size() < 2 || parts[0].size() != 0)
        throw error("malformed", "a message of other parts came");
    if (parts[1].size() > detail::HEAD_MOST)
        throw error("too_large", "a head over 64 KiB came");
    if (!what.message.ParseFromArray(parts[1].data(),
                                     static_cast<int>(parts[1].size())))
        throw error("malformed", "a head came that is no message");
    std::optional<error> wrong;
    const v1::Message &message = what.message;
    if (message.version() != VERSION)
        wrong.emplace("version", "the node speaks another version");
    else if (message.body_case() == v1::Message::BODY_NOT_SET)
        wrong.emplace("kind", "the node said what is not known here");
    else if (parts.size() != (has_payload(message) ? 3 : 2))
        wrong.emplace("malformed", "a payload is missing or too much");
    else if (message.has_refused() && message.refused().status() == 0)
        wrong.emplace("malformed", "the node refused with OK");
    if (wrong) {
        wrong->request = message.request();
        throw *wrong;
    }
    if (parts.size() == 3)
        what.payload = std::move(parts[2]);
    return what;
}

client::client(const std::string &at) : at(at), node(at)
{
}

//  What may have been lost with a connection is asked again; who is busy too.
v1::Message
client::ask(v1::Message question, v1::Message::BodyCase wanted, millis within)
{
    question.set_request(detail::random());
    auto until = clock::now() + detail::ANSWERED;
    error last("late", "no answer from " + at);
    while (clock::now() < until) {
        if (!node.send(question, {}, within))
            throw error("unreachable", "nobody answers at " + at);
        auto again = clock::now() + millis(2000);
        while (clock::now() < again) {
            std::optional<link::heard> heard;
            try {
                heard = node.receive(again);
            } catch (const error &wrong) {
                if (!wrong.request || wrong.request == question.request())
                    throw;
            }
            if (!heard || heard->message.request() != question.request())
                continue;
            if (heard->message.body_case() == wanted)
                return std::move(heard->message);
            if (!heard->message.has_refused())
                throw error("kind", "the node answered another question");
            last = error(heard->message.refused());
            if (last.status != "busy")
                throw last;
            std::this_thread::sleep_for(millis(100));
            break;
        }
    }
    throw last;
}

v1::Described
client::describe(const std::string &name)
{
    v1::Message question;
    question.mutable_describe()->set_name(name);
    return ask(question, v1::Message::kDescribed).described();
}

std::vector<v1::Described>
client::list()
{
    std::vector<v1::Described> all;
    v1::Message question;
    question.mutable_list();
    for (;;) {
        auto page = ask(question, v1::Message::kListing).listing();
        all.insert(all.end(), page.streams().begin(), page.streams().end());
        if (!page.more() || page.streams().empty())
            return all;
        question.mutable_list()->set_after(all.back().name());
    }
}

publisher
client::publish(const std::string &name, const source &what)
{
    return { at, name, what };
}

reader
client::read(const std::string &name, std::uint64_t from, std::uint64_t to)
{
    return { at, describe(name), from, to };
}

watcher
client::watch(const std::string &name, const view &how)
{
    return { at, name, how };
}

rill::tap
client::tap(const std::vector<std::string> &kinds)
{
    return { at, kinds };
}

}  // namespace rill
