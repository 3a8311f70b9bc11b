#include "rill.hpp"

#include <algorithm>
#include <array>

namespace rill
{
namespace
{

constexpr std::size_t ASKS_MOST = 8;
constexpr millis BUDGET{ 2000 };  //  Of one ask

//  CRC32C, as in RFC 3720, a byte at a time.
std::uint32_t
crc32c(const unsigned char *bytes, std::size_t size)
{
    static const auto table = [] {
        std::array<std::uint32_t, 256> made{};
        for (std::uint32_t i = 0; i < made.size(); i++) {
            std::uint32_t sum = i;
            for (int bit = 0; bit < 8; bit++)
                sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78u : 0);
            made[i] = sum;
        }
        return made;
    }();
    std::uint32_t sum = UINT32_MAX;
    for (std::size_t i = 0; i < size; i++)
        sum = sum >> 8 ^ table[(sum ^ bytes[i]) & 0xff];
    return ~sum;
}

}  // namespace

//  Whether a payload is what its header says.
bool
detail::checked(const v1::ChunkHeader &chunk, std::uint64_t stream,
                const zmq::message_t &payload)
{
    return chunk.stream() == stream && chunk.slot() < chunk.k() &&
           chunk.length() == payload.size() &&
           chunk.offset() <= UINT64_MAX - chunk.length() &&
           crc32c(payload.data<unsigned char>(), payload.size()) ==
               chunk.payload_crc();
}

std::string_view
piece::bytes() const
{
    if (hole())
        return {};
    return payload.to_string_view().substr(offset - chunk->offset(),
                                           to - offset);
}

reader::reader(const std::string &where, const v1::Described &is,
               std::uint64_t from, std::uint64_t end)
    : node(where), stream(is.stream()), at(from == FIRST ? is.first() : from),
      to(end), expected(at), length(is.chunk_bytes()), moved(clock::now()),
      last("late", "no answer from " + where)
{
    if (to == END)  //  The node says what is wrong with a place behind it.
        to = at <= is.stored() ? is.stored() : at + 1;
    if (at > to)
        throw error("argument", "a range ends before it begins");
    if (length == 0)
        length = 256 << 10;
}

std::optional<piece>
reader::next()
{
    moved = clock::now();  //  The owner was silent, not the node
    lost_at.reset();
    while (at < to) {
        if (auto found = due())
            return found;
        ask();
        if (auto hole = hear())
            return hole;
    }
    return {};
}

//  What is next, if its chunk is held.
std::optional<piece>
reader::due()
{
    std::optional<piece> found;
    for (chunk &one : held) {
        if (!one.covers(at))
            continue;
        found.emplace();
        found->offset = at;
        found->to = at = std::min(one.end(), to);
        found->payload = std::move(one.bytes);
        found->chunk = std::move(one.header);
        one = {};
        break;
    }
    held.erase(std::remove_if(held.begin(), held.end(),
                              [&](auto &one) { return one.end() <= at; }),
               held.end());
    return found;
}

bool
reader::is_open(std::uint64_t offset) const
{
    return std::any_of(asks.begin(), asks.end(),
                       [&](auto &one) { return one.offset == offset; });
}

//  Where the next chunks should begin.
void
reader::predict()
{
    expected = std::max(expected, at);
    if (!is_open(at))
        asks.push_back({ at });
    while (asks.size() + held.size() < ASKS_MOST && expected < to) {
        auto known = std::find_if(held.begin(), held.end(), [&](auto &one) {
            return one.covers(expected);
        });
        if (known != held.end()) {
            expected = known->end();
            continue;
        }
        if (!is_open(expected))
            asks.push_back({ expected });
        expected += length;
    }
}

//  For the next byte and ahead of it, and again what is due again.
void
reader::ask()
{
    auto now = clock::now();
    if (now - moved > detail::PATIENCE)
        throw last;
    if (lost_at && now - *lost_at > detail::REACH)
        throw error("unreachable", "the node cannot be reached any more");
    predict();
    for (question &one : asks) {
        if (one.request && now - one.at > BUDGET + millis(500)) {
            one.request = 0;
            one.at = now;
        }
        if (one.request || now < one.at)
            continue;
        v1::Message message;
        message.set_request(detail::random());
        message.mutable_ask()->set_stream(stream);
        message.mutable_ask()->set_offset(one.offset);
        message.mutable_ask()->set_budget_ms(BUDGET.count());
        if (!node.send(message, {}, millis(100))) {
            lost_at = lost_at.value_or(now);
            return;
        }
        lost_at.reset();
        one.request = message.request();
        one.at = now;
    }
}

//  One answer, or until something is to be asked again; maybe a hole.
std::optional<piece>
reader::hear()
{
    auto until = clock::now() + detail::EACH;
    for (const question &one : asks)
        if (!one.request)
            until = std::min(until, one.at);
    std::optional<link::heard> heard;
    try {
        heard = node.receive(until);
    } catch (const error &wrong) {
        for (const question &one : asks)
            if (!wrong.request || wrong.request == one.request)
                throw;
    }
    if (!heard)
        return {};
    std::size_t nth = 0;
    while (nth < asks.size() && asks[nth].request != heard->message.request())
        nth++;
    if (nth == asks.size())
        return {};
    if (heard->message.has_refused())
        return refused(nth, error(heard->message.refused()));
    chunk came{ heard->message.answer().chunk(), std::move(heard->payload) };
    if (!detail::checked(came.header, stream, came.bytes) ||
        !came.covers(asks[nth].offset))
        return refused(nth, error("corrupt", "a chunk came that is not what "
                                             "was written"));
    asks.erase(asks.begin() + static_cast<std::ptrdiff_t>(nth));
    moved = clock::now();
    length = came.bytes.size();
    if (came.end() > at)
        held.push_back(std::move(came));
    return {};
}

std::optional<piece>
reader::refused(std::size_t nth, const error &why)
{
    question &one = asks[nth];
    bool ahead = one.offset != at;
    bool hole = why.status == "range" && why.offset > one.offset;
    bool final = why.retry == "never" || why.status == "future";
    if (!hole && !final) {
        one.pause = detail::grow(one.pause, 50, 800);
        one.request = 0;
        one.at = clock::now() + one.pause;
        last = why;
        return {};
    }
    if (!hole && !ahead)
        throw why;
    //  What lies ahead, if it is true, is met again when it is its turn.
    asks.erase(asks.begin() + static_cast<std::ptrdiff_t>(nth));
    if (hole)
        expected = std::max(expected, why.offset);
    if (ahead)
        return {};
    std::optional<piece> found(std::in_place);
    found->offset = at;
    found->to = at = std::min(why.offset, to);
    moved = clock::now();
    return found;
}

}  // namespace rill
