#include "rill.hpp"

#include <algorithm>
#include <thread>

namespace rill
{
namespace
{

constexpr millis REACH{ 1000 };    //  Else the next node is tried,
constexpr millis ANSWER{ 3000 };   //  and so it is when one is silent
constexpr millis SETTLED{ 5000 };  //  A node that began anew knows by then

}  // namespace

from
from::live()
{
    from where;
    where.place.set_live(true);
    return where;
}

from
from::start()
{
    from where;
    where.place.set_start(true);
    return where;
}

from
from::offset(std::uint64_t offset)
{
    from where;
    where.place.set_offset(offset);
    return where;
}

from
from::back(millis before)
{
    from where;
    where.place.set_back_ms(static_cast<std::uint64_t>(before.count()));
    return where;
}

from
from::time(std::chrono::system_clock::time_point then)
{
    from where;
    where.place.set_time_us(
        std::chrono::duration_cast<std::chrono::microseconds>(
            then.time_since_epoch())
            .count());
    return where;
}

watcher::watcher(const std::string &director, const std::string &name,
                 const view &how)
    : director(director), name(name), how(how), moved(clock::now()),
      last("late", "nothing came")
{
    for (const std::string &at : how.places)
        places.push_back({ at, at });
    if (places.empty() && !ask_director(detail::REACH))
        throw error("busy", "no node offers the stream");
}

//  Where to go. False: nobody offers it.
bool
watcher::ask_director(millis within)
{
    v1::Message question;
    question.mutable_where()->set_name(name);
    question.mutable_where()->set_watch(true);
    for (const std::string &node : failed)
        question.mutable_where()->add_not_(node);
    auto offer =
        client(director).ask(question, v1::Message::kOffer, within).offer();
    if (offer.places().empty())
        return false;
    places.clear();
    for (const v1::Place &one : offer.places())
        places.push_back({ one.node(), one.at() });
    return true;
}

std::optional<piece>
watcher::next()
{
    moved = clock::now();  //  The owner was silent, not the node
    if (asked_at)
        asked_at = moved;
    try {
        while (!over)
            if (auto found = step())
                return found;
    } catch (...) {
        stop();
        throw;
    }
    stop();
    return {};
}

watcher::~watcher()
{
    try {
        stop();
    } catch (...) {
        //  The node finds out by itself.
    }
}

void
watcher::stop()
{
    over = true;
    hang_up();
}

void
watcher::hang_up()
{
    if (node) {
        v1::Message message;
        message.mutable_stop();
        say(message, millis(0));
        node->close(millis(200));
    }
    node.reset();
    opened = false;
}

bool
watcher::say(v1::Message &message, millis within)
{
    message.set_request(request);
    return node->send(message, {}, within);
}

watcher::found
watcher::step()
{
    auto now = clock::now();
    if (now - moved > detail::PATIENCE)
        throw last;
    if (!node) {
        if (now < open_at)
            std::this_thread::sleep_for(open_at - now);
        begin(clock::now());
        return {};
    }
    auto silent_at = asked_at ? *asked_at + ANSWER : moment::max();
    std::optional<link::heard> heard;
    try {
        heard = node->receive(std::min(keep_at, silent_at));
    } catch (const error &wrong) {
        if (!wrong.request || wrong.request == request)
            leave(wrong, clock::now());
        return {};
    }
    now = clock::now();
    if (heard)
        return hear(std::move(*heard), now);
    if (now >= silent_at)
        leave(error("late", "no answer from " + places[nth].at), now);
    else if (now >= keep_at)
        keep(now);
    return {};
}

//  A session at the place whose turn it is.
void
watcher::begin(moment now)
{
    node = std::make_unique<link>(places[nth].at);
    v1::Message message;
    v1::Watch &watch = *message.mutable_watch();
    watch = how.from.place;
    if (begun)
        watch.set_offset(at);
    if (stream)
        watch.set_stream(stream);
    else
        watch.set_name(name);
    watch.set_credit(how.window);
    request = detail::random();
    taken = 0;
    credit = how.window;
    if (!say(message, REACH))
        return leave(
            error("unreachable", "nobody answers at " + places[nth].at),
            clock::now());
    asked_at = now;
    keep_at = now + detail::EACH;
}

void
watcher::keep(moment now)
{
    credit = taken + how.window;
    v1::Message message;
    message.mutable_watch_keep()->set_credit(credit);
    if (!say(message, REACH))
        return leave(
            error("unreachable", "nobody answers at " + places[nth].at),
            clock::now());
    keep_at = now + detail::EACH;
    if (!asked_at)
        asked_at = now;
}

//  At the same node, after a pause that grows while nothing comes.
void
watcher::again(const error &why, moment now)
{
    hang_up();
    last = why;
    open_at = now + pause;
    pause = detail::grow(pause, 100, 1000);
    asked_at.reset();
}

//  For the next place; behind the last one the director is asked anew.
void
watcher::leave(const error &why, moment now)
{
    again(why, now);
    failed.push_back(places[nth].node);
    if (++nth < places.size())
        return;
    nth = 0;
    if (!begun && why.status == "unreachable" && now - moved > detail::REACH)
        throw why;
    if (how.places.empty())
        try {
            ask_director(REACH);
        } catch (const error &) {
            //  The list there is will do.
        }
    failed.clear();
}

watcher::found
watcher::hear(link::heard &&heard, moment now)
{
    const v1::Message &message = heard.message;
    const error lost("late", "a chunk was lost on its way");
    if (message.request() != request)
        return {};
    asked_at.reset();
    switch (message.body_case()) {
    case v1::Message::kWatched:
        return on_watched(message.watched(), now);
    case v1::Message::kFlow:
        return on_flow(message.flow(), std::move(heard.payload), now);
    case v1::Message::kSkip:
        if (message.skip().from() <= at)
            return skip(message.skip().to(), now);
        again(lost, now);
        break;
    case v1::Message::kWatching:
        moved = now;
        //  What it sent came before this word, or is lost.
        if (opened && message.watching().at() > at)
            again(lost, now);
        break;
    case v1::Message::kOver:
        if (message.over().status() != 0)
            leave(error(detail::word(message.over().status()),
                        "the node cannot go on"),
                  now);
        else if (message.over().at() > at)
            again(lost, now);
        else
            over = true;
        break;
    case v1::Message::kRefused:
        on_refused(error(message.refused()), now);
        break;
    default:
        break;
    }
    return {};
}

watcher::found
watcher::skip(std::uint64_t to, moment now)
{
    if (to <= at)
        return {};
    found hole(std::in_place);
    hole->offset = at;
    hole->to = at = to;
    moved = now;
    pause = millis(0);
    return hole;
}

watcher::found
watcher::on_watched(const v1::Watched &watched, moment now)
{
    if (opened)
        return {};
    if (!watched.stream() || (stream && watched.stream() != stream)) {
        leave(error("malformed", "another stream began"), now);
        return {};
    }
    opened = true;
    stream = watched.stream();
    moved = now;
    if (!begun)
        at = watched.from();
    begun = true;
    if (how.begun)
        how.begun(places[nth].node, watched.from());
    return skip(watched.from(), now);
}

watcher::found
watcher::on_flow(const v1::Flow &flow, zmq::message_t &&payload, moment now)
{
    if (!opened)
        return {};
    const v1::ChunkHeader &chunk = flow.chunk();
    if (!detail::checked(chunk, stream, payload)) {
        leave(error("corrupt", "a chunk came that is not what was written"),
              now);
        return {};
    }
    if (chunk.offset() > at) {
        again(error("late", "a chunk was lost on its way"), now);
        return {};
    }
    taken += payload.size();
    found next;
    std::uint64_t end = chunk.offset() + payload.size();
    if (end > at) {
        next.emplace();
        next->offset = at;
        next->to = at = end;
        next->chunk = chunk;
        next->payload = std::move(payload);
        moved = now;
        pause = millis(0);
    }
    if (taken + how.window - credit >= how.window / 4 || now >= keep_at)
        keep(now);
    return next;
}

void
watcher::on_refused(const error &why, moment now)
{
    if (begun && why.status == "range" && at >= why.offset) {
        over = true;  //  It ended meanwhile.
        return;
    }
    if (why.status == "session")
        return again(why, now);
    //  A node that is behind says FUTURE, one that has just begun may not know
    //  the stream yet.
    bool waits = begun && (why.status == "future" ||
                           (why.status == "unknown" && now - moved < SETTLED));
    if (!waits && (why.retry == "never" || why.status == "future"))
        throw why;
    leave(why, now);
}

}  // namespace rill
