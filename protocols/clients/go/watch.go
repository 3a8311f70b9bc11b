package rill

import (
	"time"

	pb "rill.v1/pb"
)

const (
	windowDefault = 4 << 20
	reachWithin   = time.Second     // Else the next node is tried,
	answerWithin  = 3 * time.Second // and so it is when one is silent.
	settleWithin  = 5 * time.Second // A node that began anew knows by then.
)

// From says where to begin to watch. The zero value is Live.
type From struct{ set func(*pb.Watch) }

// Where to begin.
var (
	Live  = From{func(w *pb.Watch) { w.From = &pb.Watch_Live{Live: true} }}
	Start = From{func(w *pb.Watch) { w.From = &pb.Watch_Start{Start: true} }}
)

// At an offset.
func At(offset uint64) From {
	return From{func(w *pb.Watch) { w.From = &pb.Watch_Offset{Offset: offset} }}
}

// Back so long before the newest chunk.
func Back(d time.Duration) From {
	return From{func(w *pb.Watch) {
		w.From = &pb.Watch_BackMs{BackMs: uint64(d.Milliseconds())}
	}}
}

// Time of the last chunk that was made by then.
func Time(t time.Time) From {
	return From{func(w *pb.Watch) {
		w.From = &pb.Watch_TimeUs{TimeUs: t.UnixMicro()}
	}}
}

// View says how to watch.
type View struct {
	From   From
	Window uint64   // Bytes that may be on their way; 0: 4 MiB.
	Places []string // HOST:PORT in order; none: as the director says.
	// Begun is called whenever a node has begun to send, from an offset.
	Begun func(node string, from uint64)
}

type place struct{ node, at string }

// Watcher gets a stream as it grows, from one cache after the other.
type Watcher struct {
	director string
	name     string
	view     View
	places   []place
	place    int
	failed   []string // Nodes that were of no use since the last offer.

	link    *link
	openAt  time.Time
	request uint64
	taken   uint64 // Bytes that came in this session,
	credit  uint64 // and that may.
	opened  bool   // The node said where it begins.
	begun   bool   // One node did.
	stream  uint64
	next    uint64
	over    bool
	keepAt  time.Time
	askedAt time.Time
	moved   time.Time
	pause   time.Duration
	last    *Error
}

// Watch a stream. The client is one of the director's, or of any cache's.
func (c *Client) Watch(name string, view View) (*Watcher, error) {
	if view.Window == 0 {
		view.Window = windowDefault
	}
	if view.From.set == nil {
		view.From = Live
	}
	w := &Watcher{director: c.at, name: name, view: view, moved: time.Now(),
		last: fail("late", "nothing came")}
	for _, at := range view.Places {
		w.places = append(w.places, place{at, at})
	}
	if len(w.places) > 0 {
		return w, nil
	}
	if err := w.askDirector(reach); err != nil {
		return nil, err
	}
	if len(w.places) == 0 {
		return nil, fail("busy", "no node offers the stream")
	}
	return w, nil
}

// askDirector where to go; without an offer the list there is stays.
func (w *Watcher) askDirector(within time.Duration) error {
	director, err := Connect(w.director)
	if err != nil {
		return err
	}
	defer director.Close()
	offer, err := director.where(w.name, w.failed, within)
	if err != nil || len(offer.Places) == 0 {
		return err
	}
	w.places = nil
	for _, p := range offer.Places {
		w.places = append(w.places, place{p.Node, p.At})
	}
	return nil
}

// Next piece, in order; a hole is one too. nil, nil: the stream has ended.
func (w *Watcher) Next() (*Piece, error) {
	w.moved = time.Now() // The owner was silent, not the node.
	if !w.askedAt.IsZero() {
		w.askedAt = w.moved
	}
	for !w.over {
		piece, err := w.step()
		if err != nil {
			w.Stop()
			return nil, err
		}
		if piece != nil {
			return piece, nil
		}
	}
	w.Stop()
	return nil, nil
}

// Stop watching; the node is told.
func (w *Watcher) Stop() {
	w.over = true
	w.hangUp()
}

func (w *Watcher) hangUp() {
	if w.link != nil {
		w.say(&pb.Message{Body: &pb.Message_Stop{Stop: &pb.Stop{}}}, 0)
		w.link.close(200 * time.Millisecond)
	}
	w.link, w.opened = nil, false
}

func (w *Watcher) say(m *pb.Message, within time.Duration) bool {
	m.Request = w.request
	return w.link.send(m, nil, within)
}

// gone is that nobody is at the place.
func (w *Watcher) gone() *Error {
	return fail("unreachable", "nobody answers at "+w.places[w.place].at)
}

func (w *Watcher) step() (*Piece, error) {
	now := time.Now()
	if now.Sub(w.moved) > patience {
		return nil, w.last
	}
	if w.link == nil {
		if now.Before(w.openAt) {
			time.Sleep(w.openAt.Sub(now))
			return nil, nil
		}
		return nil, w.begin(now)
	}
	until := w.keepAt
	if !w.askedAt.IsZero() {
		until = least(until, w.askedAt.Add(answerWithin))
	}
	m, payload, wrong := w.link.receive(until)
	now = time.Now()
	switch {
	case wrong != nil && wrong.concerns(w.request):
		return nil, w.leave(wrong, now)
	case m != nil:
		return w.hear(m, payload, now)
	case !w.askedAt.IsZero() && now.Sub(w.askedAt) >= answerWithin:
		return nil, w.leave(fail("late", "no answer from "+
			w.places[w.place].at), now)
	case !now.Before(w.keepAt):
		return nil, w.keep(now)
	}
	return nil, nil
}

// begin a session at the place whose turn it is.
func (w *Watcher) begin(now time.Time) (err error) {
	if w.link, err = dial(w.places[w.place].at); err != nil {
		return err
	}
	body := &pb.Watch{Credit: w.view.Window}
	if w.stream != 0 {
		body.Which = &pb.Watch_Stream{Stream: w.stream}
	} else {
		body.Which = &pb.Watch_Name{Name: w.name}
	}
	if w.begun {
		At(w.next).set(body)
	} else {
		w.view.From.set(body)
	}
	w.request, w.taken, w.credit = random(), 0, w.view.Window
	if !w.say(&pb.Message{Body: &pb.Message_Watch{Watch: body}}, reachWithin) {
		return w.leave(w.gone(), time.Now())
	}
	w.askedAt, w.keepAt = now, now.Add(keepEach)
	return nil
}

func (w *Watcher) keep(now time.Time) error {
	w.credit = w.taken + w.view.Window
	if !w.say(&pb.Message{Body: &pb.Message_WatchKeep{
		WatchKeep: &pb.WatchKeep{Credit: w.credit}}}, reachWithin) {
		return w.leave(w.gone(), time.Now())
	}
	w.keepAt = now.Add(keepEach)
	if w.askedAt.IsZero() {
		w.askedAt = now
	}
	return nil
}

// again at the same node, after a pause that grows while nothing comes.
func (w *Watcher) again(why *Error, now time.Time) {
	w.hangUp()
	w.last, w.openAt = why, now.Add(w.pause)
	w.pause = grow(w.pause, 100*time.Millisecond, time.Second)
}

// leave for the next place; behind the last one the director is asked anew.
func (w *Watcher) leave(why *Error, now time.Time) error {
	w.again(why, now)
	w.failed = append(w.failed, w.places[w.place].node)
	if w.place++; w.place < len(w.places) {
		return nil
	}
	w.place = 0
	if !w.begun && why.Status == "unreachable" && now.Sub(w.moved) > reach {
		return why
	}
	if len(w.view.Places) == 0 {
		w.askDirector(reachWithin) // Else the list there is will do.
	}
	w.failed = nil
	return nil
}

func (w *Watcher) hear(m *pb.Message, payload []byte,
	now time.Time) (*Piece, error) {
	if m.Request != w.request {
		return nil, nil
	}
	w.askedAt = time.Time{}
	switch body := m.Body.(type) {
	case *pb.Message_Watched:
		return w.onWatched(body.Watched, now)
	case *pb.Message_Flow:
		return w.onFlow(body.Flow, payload, now)
	case *pb.Message_Skip:
		if body.Skip.From > w.next {
			w.lost(now)
			return nil, nil
		}
		return w.skip(body.Skip.To, now), nil
	case *pb.Message_Watching:
		w.moved = now
		// What it sent came before this word, or is lost.
		if w.opened && body.Watching.At > w.next {
			w.lost(now)
		}
	case *pb.Message_Over:
		if body.Over.Status != pb.Status_STATUS_OK_UNSPECIFIED {
			return nil, w.leave(&Error{Status: word(body.Over.Status),
				Retry: "elsewhere", Text: "the node cannot go on"}, now)
		}
		if body.Over.At > w.next {
			w.lost(now)
		} else {
			w.over = true
		}
	case *pb.Message_Refused:
		return nil, w.onRefused(refusal(body.Refused), now)
	}
	return nil, nil
}

func (w *Watcher) lost(now time.Time) {
	w.again(fail("late", "a chunk was lost on its way"), now)
}

func (w *Watcher) skip(to uint64, now time.Time) *Piece {
	if to <= w.next {
		return nil
	}
	hole := &Piece{Offset: w.next, To: to}
	w.next, w.moved, w.pause = to, now, 0
	return hole
}

func (w *Watcher) onWatched(watched *pb.Watched, now time.Time) (*Piece, error) {
	if w.opened {
		return nil, nil
	}
	if watched.Stream == 0 || w.stream != 0 && watched.Stream != w.stream {
		return nil, w.leave(fail("malformed", "another stream began"), now)
	}
	w.opened, w.stream, w.moved = true, watched.Stream, now
	if !w.begun {
		w.begun, w.next = true, watched.From
	}
	if w.view.Begun != nil {
		w.view.Begun(w.places[w.place].node, watched.From)
	}
	return w.skip(watched.From, now), nil
}

func (w *Watcher) onFlow(flow *pb.Flow, payload []byte,
	now time.Time) (*Piece, error) {
	if !w.opened {
		return nil, nil
	}
	header := flow.Chunk
	if !checked(header, w.stream, payload) {
		return nil, w.leave(fail("corrupt",
			"a chunk came that is not what was written"), now)
	}
	w.taken += uint64(len(payload))
	c := chunk{header, payload}
	var piece *Piece
	switch {
	case header.Offset > w.next:
		w.lost(now)
		return nil, nil
	case c.end() > w.next:
		piece = &Piece{Offset: w.next, To: c.end(), Chunk: header,
			Bytes: payload[w.next-header.Offset:]}
		w.next, w.moved, w.pause = c.end(), now, 0
	}
	if w.taken+w.view.Window-w.credit >= w.view.Window/4 ||
		now.After(w.keepAt) {
		return piece, w.keep(now)
	}
	return piece, nil
}

func (w *Watcher) onRefused(why *Error, now time.Time) error {
	if w.begun && why.Status == "range" && w.next >= why.Offset {
		w.over = true // It ended meanwhile.
		return nil
	}
	if why.Status == "session" {
		w.again(why, now)
		return nil
	}
	// A node that is behind says FUTURE, one that has just begun may not know
	// the stream yet.
	waits := w.begun && (why.Status == "future" ||
		why.Status == "unknown" && now.Sub(w.moved) < settleWithin)
	if !waits && (why.Retry == "never" || why.Status == "future") {
		return why
	}
	return w.leave(why, now)
}
