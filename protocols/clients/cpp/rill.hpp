//  rill - publish, read and watch streams of a rill cluster
//
//  Every object is for one thread at a time, and nothing runs in the
//  background: what keeps a session alive is said within write() and next().
//  Whatever goes wrong is thrown as rill::error.
#ifndef RILL_HPP
#define RILL_HPP

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <zmq.hpp>

#include "rill/v1/event.pb.h"
#include "rill/v1/message.pb.h"

namespace rill
{

using clock = std::chrono::steady_clock;
using moment = clock::time_point;
using millis = std::chrono::milliseconds;

//  What a node refused, or why it could not be asked. `status` and `retry` are
//  words of rill.v1 in lower case.
struct error : std::runtime_error {
    error(std::string status, const std::string &text);
    explicit error(const v1::Refused &refused);

    std::string status;       //  unknown, taken, unreachable; unlisted: newer
    std::string retry;        //  never, later, elsewhere, reopen
    std::uint64_t offset{};   //  With offset, range, gone, future: the nearest
    std::string node;         //  With taken: who has it
    std::uint64_t request{};  //  Of what came and is wrong; 0: not known
};

//  A socket, and a share of the context: what was said last leaves before the
//  last share ends.
struct held_socket {
    std::shared_ptr<zmq::context_t> context;
    zmq::socket_t socket;
};

//  A connection to a node's front.
class link
{
  public:
    explicit link(const std::string &at);
    ~link()
    {
        close(millis(0));
    }
    void close(millis linger);

    struct heard {
        v1::Message message;
        zmq::message_t payload;
    };
    //  False: nobody is there to take it within so long.
    bool send(v1::Message &message, std::string_view payload, millis within);
    //  Nothing: nothing came until then.
    std::optional<heard> receive(moment until);

  private:
    held_socket held;
};

//  Bytes at an offset, or a hole: the stream has no bytes up to `to`.
class piece
{
  public:
    std::uint64_t offset{}, to{};
    std::optional<v1::ChunkHeader> chunk;  //  That they came in
    bool
    hole() const
    {
        return !chunk;
    }
    std::string_view bytes() const;  //  As long as the piece lives

  private:
    friend class reader;
    friend class watcher;
    zmq::message_t payload;
};

struct source {
    bool live{};
    std::string protect = "auto";  //  none, 4+2
    std::uint32_t chunk_bytes{};   //  0: rill chooses
    std::uint64_t token{};         //  Of an earlier publisher, to go on; 0: new
};

//  Writes one stream. Keeps what is not stored yet, opens again with its token
//  after any trouble and goes on: nothing twice, nothing missing. It keeps no
//  more than the forwarder's credit.
class publisher
{
  public:
    publisher(const std::string &at, const std::string &name,
              const source &what);

    //  Waits while there is no credit. Who has nothing to write says it
    //  without bytes every few seconds.
    void write(std::string_view bytes);
    //  Seal the stream; returns when all of it is safe.
    void finish();
    //  It stays open for who comes with the same token.
    void leave();

    std::uint64_t
    stream() const
    {
        return id;
    }
    std::uint64_t
    token() const
    {
        return open.token();
    }
    std::uint64_t
    begin() const
    {
        return first;
    }
    std::uint64_t
    offset() const
    {
        return next;
    }  //  Of the next byte
    std::uint64_t
    stored() const
    {
        return safe;
    }  //  All below is on disk

  private:
    struct kept {
        std::uint64_t offset;
        std::string bytes;
        std::uint64_t
        end() const
        {
            return offset + bytes.size();
        }
    };
    void drain();
    void turn(millis wait);
    bool hear(moment until);
    void on_opened(const v1::Opened &opened, moment now);
    void on_progress(std::uint64_t request, const v1::Progress &progress,
                     moment now);
    void on_refused(const error &why, moment now);
    void say_open(moment now);
    void say_keep(moment now);
    void pump();
    void let_go(std::uint64_t stored);
    void reopen(const error &why, moment now);
    void hang_up(millis linger);
    moment keep_due() const;
    moment silent_at() const;

    std::string at;
    v1::Open open;
    std::unique_ptr<link> node;  //  None: to be connected at open_at
    std::deque<kept> pieces;     //  Not stored yet, in order
    std::uint64_t id{}, first{}, next{}, sent{}, safe{}, settled{}, credit{};
    std::uint64_t session{};  //  0: not open
    bool opened{}, sealed{}, finishing{}, finish_said{};
    std::uint64_t keep_request{}, keep_sent{};
    moment open_at{}, said_at{}, kept_at{}, heard_at{}, moved{};
    moment turned{};                 //  When the owner last let it work
    std::optional<moment> asked_at;  //  None: all is answered
    millis pause{};
    error last;  //  Why nothing moves
};

constexpr std::uint64_t FIRST = UINT64_MAX - 1;  //  The oldest byte there is
constexpr std::uint64_t END = UINT64_MAX;        //  Behind all stored now

//  Has several asks open, where it expects chunks to begin, and gives their
//  bytes in order.
class reader
{
  public:
    reader(const std::string &at, const v1::Described &is, std::uint64_t from,
           std::uint64_t to);
    std::optional<piece> next();  //  None: that was all

  private:
    struct question {
        std::uint64_t offset;
        std::uint64_t request{};  //  0: to be asked at `at`; else it was, then
        moment at{};
        millis pause{};
    };
    struct chunk {
        v1::ChunkHeader header;
        zmq::message_t bytes;
        std::uint64_t
        end() const
        {
            return header.offset() + bytes.size();
        }
        bool
        covers(std::uint64_t offset) const
        {
            return header.offset() <= offset && offset < end();
        }
    };
    std::optional<piece> due();
    void predict();
    void ask();
    std::optional<piece> hear();
    std::optional<piece> refused(std::size_t nth, const error &why);
    bool is_open(std::uint64_t offset) const;

    link node;
    std::uint64_t stream, at, to;
    std::uint64_t expected, length;  //  Where the next ask goes; of chunks
    std::vector<question> asks;
    std::vector<chunk> held;  //  That came before their turn
    moment moved;
    std::optional<moment> lost_at;  //  Since when the node is out of reach
    error last;
};

//  Where to begin to watch.
class from
{
  public:
    static from live();
    static from start();
    static from offset(std::uint64_t offset);
    static from back(millis before_the_newest);
    static from time(std::chrono::system_clock::time_point then);

  private:
    friend class watcher;
    v1::Watch place;
};

struct view {
    rill::from from = from::live();
    std::uint64_t window = 4 << 20;   //  Bytes that may be on their way
    std::vector<std::string> places;  //  HOST:PORT; none: the director's
    //  A node begins to send, from an offset.
    std::function<void(const std::string &node, std::uint64_t from)> begun;
};

class client;

//  Gets a stream as it grows, from one cache after the other.
class watcher
{
  public:
    watcher(const std::string &director, const std::string &name,
            const view &how);
    ~watcher();
    watcher(const watcher &) = delete;
    watcher &operator=(const watcher &) = delete;
    std::optional<piece> next();  //  None: the stream has ended
    void stop();

  private:
    struct place {
        std::string node, at;
    };
    using found = std::optional<piece>;
    bool ask_director(millis within);
    found step();
    void begin(moment now);
    void keep(moment now);
    bool say(v1::Message &message, millis within);
    void again(const error &why, moment now);
    void leave(const error &why, moment now);
    void hang_up();
    found hear(link::heard &&heard, moment now);
    found on_watched(const v1::Watched &watched, moment now);
    found on_flow(const v1::Flow &flow, zmq::message_t &&payload, moment now);
    void on_refused(const error &why, moment now);
    found skip(std::uint64_t to, moment now);

    std::string director, name;
    view how;
    std::vector<place> places;
    std::size_t nth{};
    std::vector<std::string> failed;  //  Of no use since the last offer
    std::unique_ptr<link> node;
    std::uint64_t request{}, taken{}, credit{};  //  Of this session
    std::uint64_t stream{}, at{};
    bool opened{}, begun{}, over{};
    moment open_at{}, keep_at{}, moved;
    std::optional<moment> asked_at;
    millis pause{};
    error last;
};

//  What a node told: an event or a sample.
struct told {
    std::string kind;  //  The event's, or "sample"
    std::optional<v1::Event> event;
    std::optional<v1::Sample> sample;
    std::uint64_t lost{};  //  Events lost since the last one was heard
};

//  Listens to the events of all nodes that the one asked names.
class tap
{
  public:
    tap(const std::string &at, const std::vector<std::string> &kinds);
    std::optional<told> next(millis wait);  //  None: none came for so long
    std::vector<std::string> nodes;         //  That it listens to,
    std::vector<std::string> silent;        //  and where nobody answered

  private:
    void join(const v1::Report &report, const std::vector<std::string> &kinds);
    void count(told &what);
    held_socket held;
    std::map<std::string, std::uint64_t> seen;  //  By node and kind
};

//  Asks one node: the forwarder, a cache or the director.
class client
{
  public:
    //  To HOST:PORT. Whether it is there shows with the first question.
    explicit client(const std::string &at);
    std::vector<v1::Described> list();
    v1::Described describe(const std::string &name);
    publisher publish(const std::string &name, const source &what = {});
    reader read(const std::string &name, std::uint64_t from = FIRST,
                std::uint64_t to = END);
    watcher watch(const std::string &name, const view &how = {});
    rill::tap tap(const std::vector<std::string> &kinds = {});

    //  Any other question; BUSY is asked again, other refusals are thrown.
    v1::Message ask(v1::Message question, v1::Message::BodyCase wanted,
                    millis within = millis(3000));

  private:
    std::string at;
    link node;
};

//  For all files of this library.
namespace detail
{
held_socket open_socket(zmq::socket_type kind, int queue);
void connect_socket(zmq::socket_t &socket, const std::string &endpoint);
std::vector<zmq::message_t> frames(zmq::socket_t &socket, moment until);
std::uint64_t random();
std::string word(int status);
millis grow(millis pause, int first, int most);
bool checked(const v1::ChunkHeader &chunk, std::uint64_t stream,
             const zmq::message_t &payload);
constexpr std::size_t HEAD_MOST = 64 << 10;
constexpr std::size_t PAYLOAD_MOST = (4 << 20) + (4 << 10);
constexpr millis REACH{ 3000 }, EACH{ 1000 }, PATIENCE{ 30000 },
    ANSWERED{ 15000 };
}  // namespace detail

}  // namespace rill

#endif
