#include "rill.hpp"

#include <algorithm>
#include <thread>

namespace rill
{
namespace
{

constexpr std::size_t PIECE_MOST = 1 << 20;
constexpr millis SILENCE{ 2000 };  //  Then the session is opened anew
constexpr millis LEASE{ 10000 };   //  Of a source that says nothing

void
protect(v1::Open &open, const std::string &code)
{
    unsigned k = 1, m = 0;
    int length = 0;
    if (code == "auto")
        return;
    if (code != "none" &&
        (sscanf(code.c_str(), "%3u+%3u%n", &k, &m, &length) != 2 ||
         static_cast<std::size_t>(length) != code.size()))
        throw error("argument", code + " is not auto, none or K+M");
    open.mutable_protection()->set_k(k);
    open.mutable_protection()->set_m(m);
}

}  // namespace

publisher::publisher(const std::string &at, const std::string &name,
                     const source &what)
    : at(at), moved(clock::now()),
      last("unreachable", "nobody answers at " + at)
{
    open.set_name(name);
    open.set_kind(what.live ? v1::KIND_LIVE : v1::KIND_RECORDED);
    open.set_token(what.token ? what.token : detail::random());
    open.set_chunk_bytes(what.chunk_bytes);
    protect(open, what.protect);
    while (!opened)
        turn(detail::EACH);
}

void
publisher::write(std::string_view bytes)
{
    for (;;) {
        drain();
        if (sealed || finishing)
            throw error("sealed", "the stream has ended");
        if (bytes.empty())
            return;
        if (!session || credit <= next) {
            turn(detail::EACH);
            continue;
        }
        std::size_t size = std::min<std::uint64_t>(
            std::min(bytes.size(), PIECE_MOST), credit - next);
        pieces.push_back({ next, std::string(bytes.substr(0, size)) });
        bytes.remove_prefix(size);
        next += size;
    }
}

//  Take what has come and send what may go, without waiting.
void
publisher::drain()
{
    while (hear(moment{})) {
    }
    turn(millis(0));
}

void
publisher::finish()
{
    finishing = true;
    while (!sealed || settled < next)
        turn(detail::EACH);
    hang_up(millis(0));
}

void
publisher::leave()
{
    if (session) {
        v1::Message message;
        message.set_request(detail::random());
        message.mutable_source_leave()->set_session(session);
        node->send(message, {}, millis(0));
    }
    finishing = true;
    hang_up(millis(500));
}

void
publisher::hang_up(millis linger)
{
    if (node)
        node->close(linger);
    node.reset();
    session = 0;
}

//  Wait at most so long for one thing to happen.
void
publisher::turn(millis wait)
{
    auto now = clock::now();
    if (now - turned > LEASE)
        moved = now;  //  The owner was silent, not the node
    turned = now;
    if (hear(moment{}))
        return;
    auto limit = detail::PATIENCE;
    if (!opened && last.status == "unreachable")
        limit = detail::REACH;
    else if (!opened && last.status == "late")
        limit = detail::ANSWERED;
    if (now - moved > limit)
        throw last;
    if (!node && now < open_at) {
        std::this_thread::sleep_for(
            std::min<clock::duration>(wait, open_at - now));
        return;
    }
    if (!node)
        say_open(now);
    else if (now > silent_at())
        return reopen(error("late", "no answer from " + at), now);
    else if (session && now >= keep_due())
        say_keep(now);
    pump();
    if (wait.count() > 0) {
        moment until = std::min(now + wait, silent_at());
        hear(session ? std::min(until, keep_due()) : until);
    }
}

//  A second after the silence of either side began.
moment
publisher::keep_due() const
{
    return std::max(std::min(said_at, heard_at), kept_at) + detail::EACH;
}

moment
publisher::silent_at() const
{
    return asked_at ? *asked_at + SILENCE : moment::max();
}

//  With the same token, on a new connection: what was under way on the old one
//  is nobody's any more.
void
publisher::reopen(const error &why, moment now)
{
    hang_up(millis(0));
    last = why;
    open_at = now + pause;
    pause = detail::grow(pause, 50, 400);
    asked_at.reset();
}

void
publisher::say_open(moment now)
{
    node = std::make_unique<link>(at);
    v1::Message message;
    message.set_request(detail::random());
    *message.mutable_open() = open;
    if (!node->send(message, {}, detail::EACH))
        return reopen(error("unreachable", "nobody answers at " + at), now);
    said_at = now;
    asked_at = now;
}

//  How far is it? What was sent before has come when this is answered, or it
//  never will.
void
publisher::say_keep(moment now)
{
    v1::Message message;
    message.set_request(detail::random());
    if (finishing && sent == next) {
        message.mutable_finish()->set_session(session);
        message.mutable_finish()->set_offset(next);
        finish_said = true;
    } else
        message.mutable_source_keep()->set_session(session);
    node->send(message, {}, millis(0));  //  Who is not there is silent too.
    keep_request = message.request();
    keep_sent = sent;
    said_at = kept_at = now;
    if (!asked_at)
        asked_at = now;
}

//  Send what is kept, up to the credit.
void
publisher::pump()
{
    if (!session)
        return;
    for (const kept &piece : pieces) {
        std::uint64_t end = std::min(piece.end(), credit);
        if (sent < piece.offset || sent >= end)
            continue;
        v1::Message message;
        message.set_request(detail::random());
        message.mutable_piece()->set_session(session);
        message.mutable_piece()->set_offset(sent);
        std::string_view bytes(piece.bytes);
        if (!node->send(message, bytes.substr(sent - piece.offset, end - sent),
                        detail::EACH))
            return;
        sent = end;
        said_at = clock::now();
    }
    if (finishing && !finish_said && sent == next)
        say_keep(clock::now());
}

//  One message, if one comes until then.
bool
publisher::hear(moment until)
{
    if (!node)
        return false;
    auto heard = node->receive(until);
    if (!heard)
        return false;
    auto now = clock::now();
    const v1::Message &message = heard->message;
    if (message.has_opened())
        on_opened(message.opened(), now);
    else if (message.has_progress())
        on_progress(message.request(), message.progress(), now);
    else if (message.has_refused())
        on_refused(error(message.refused()), now);
    return true;
}

void
publisher::on_opened(const v1::Opened &answer, moment now)
{
    if (session)
        return;
    if (!opened) {
        id = answer.stream();
        first = answer.begin();
        next = answer.offset();
    } else if (answer.begin() != first || answer.offset() < safe)
        throw error("offset", "another source has written since");
    if (finishing && answer.offset() > next)
        throw error("offset", "another source with our token has written");
    opened = true;
    session = answer.session();
    sent = answer.offset();
    credit = answer.credit();
    heard_at = kept_at = moved = now;
    asked_at.reset();
    finish_said = false;
    let_go(answer.offset());
    if (answer.sealed()) {
        sealed = true;
        settled = answer.offset();
    }
}

void
publisher::let_go(std::uint64_t stored)
{
    if (stored > safe) {
        safe = stored;
        pause = millis(0);
    }
    while (!pieces.empty() && pieces.front().end() <= safe)
        pieces.pop_front();
    sent = std::max(sent, safe);
}

void
publisher::on_progress(std::uint64_t request, const v1::Progress &progress,
                       moment now)
{
    if (!session || progress.session() != session)
        return;
    heard_at = moved = now;
    asked_at.reset();
    credit = std::max<std::uint64_t>(credit, progress.credit());
    settled = std::max<std::uint64_t>(settled, progress.settled());
    let_go(progress.stored());
    sealed = sealed || progress.sealed();
    if (request == keep_request && progress.received() < keep_sent && !sealed)
        reopen(error("offset", "bytes were lost on their way"), now);
}

void
publisher::on_refused(const error &why, moment now)
{
    //  Of one that is fenced the successor answers here soon.
    if (why.retry == "never" && why.status != "fenced")
        throw why;
    if (why.retry != "reopen")
        pause = detail::grow(pause, 50, 400);
    reopen(why, now);
}

}  // namespace rill
