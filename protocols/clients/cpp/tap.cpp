#include "rill.hpp"

#include <set>

namespace rill
{
namespace
{

constexpr int QUEUE = 10000;  //  Events that wait; more are lost, and counted

v1::Report
report(const std::string &at, millis within)
{
    v1::Message question;
    question.mutable_status_ask();
    return client(at).ask(question, v1::Message::kReport, within).report();
}

}  // namespace

//  The node and all that are named in a report.
tap::tap(const std::string &at, const std::vector<std::string> &kinds)
    : held(detail::open_socket(zmq::socket_type::sub, QUEUE))
{
    if (kinds.empty())
        held.socket.set(zmq::sockopt::subscribe, "ev.v1.");
    std::set<std::string> known{ at, "" };
    std::deque<v1::Report> reports{ report(at, detail::REACH) };
    auto visit = [&](const std::string &where) {
        if (known.insert(where).second)
            try {
                reports.push_back(report(where, detail::EACH));
            } catch (const error &) {
                silent.push_back(where);
            }
    };
    for (; !reports.empty(); reports.pop_front()) {
        const v1::Report one = reports.front();
        join(one, kinds);
        for (const auto &node : one.nodes())
            visit(node.at());
        for (const auto &worker : one.workers())
            visit(worker.reach().substr(worker.reach().rfind('/') + 1));
    }
}

void
tap::join(const v1::Report &report, const std::vector<std::string> &kinds)
{
    for (const std::string &node : nodes)
        if (node == report.node())
            return;
    if (report.tap_at().empty())
        return;
    detail::connect_socket(held.socket, report.tap_at());
    nodes.push_back(report.node());
    std::string whose = report.role() + "." + report.node();
    for (const std::string &kind : kinds)
        held.socket.set(zmq::sockopt::subscribe,
                        kind == "sample" ? "st.v1." + whose
                                         : "ev.v1." + whose + "." + kind);
}

std::optional<told>
tap::next(millis wait)
{
    auto parts = detail::frames(held.socket, clock::now() + wait);
    if (parts.empty())
        return {};
    if (parts.size() != 2 || parts[1].size() > detail::HEAD_MOST)
        throw error("malformed", "an event of other parts came");
    auto read = [&](auto &body) {
        body.emplace();
        if (!body->ParseFromArray(parts[1].data(),
                                  static_cast<int>(parts[1].size())))
            throw error("malformed", "an event came that is none");
    };
    told what;
    if (parts[0].to_string_view().substr(0, 3) == "st.")
        read(what.sample);
    else
        read(what.event);
    count(what);
    return what;
}

//  What was lost before this.
void
tap::count(told &what)
{
    if (what.sample) {
        what.kind = "sample";
        for (const v1::Told &kind : what.sample->told()) {
            auto last = seen.find(what.sample->node() + " " + kind.kind());
            if (last == seen.end())
                continue;
            if (kind.seq() > last->second)
                what.lost += kind.seq() - last->second;
            last->second = kind.seq();
        }
        return;
    }
    const v1::Event &event = *what.event;
    auto oneof = event.GetDescriptor()->FindOneofByName("what");
    if (auto field = event.GetReflection()->GetOneofFieldDescriptor(event,
                                                                    oneof))
        what.kind = field->name();
    auto [last, first] = seen.try_emplace(event.node() + " " + what.kind,
                                          event.seq());
    if (!first && event.seq() > last->second + 1)
        what.lost = event.seq() - last->second - 1;
    last->second = event.seq();
}

}  // namespace rill
