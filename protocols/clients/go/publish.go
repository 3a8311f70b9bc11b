package rill

import (
	"strconv"
	"strings"
	"time"

	pb "rill.v1/pb"
)

const (
	pieceMost = 1 << 20
	keepEach  = time.Second
	silence   = 2 * time.Second  // Then the session is opened anew.
	patience  = 30 * time.Second // Then it is given up.
	lease     = 10 * time.Second // Of a source that says nothing.
)

// Source says what is published. The zero value is a recorded stream whose
// protection and chunks rill chooses.
type Source struct {
	Live    bool
	Protect string // "auto", "none", "4+2"
	Chunk   uint32 // Bytes; 0: rill chooses.
	Token   uint64 // Of an earlier Publisher, to go on; 0: a new source.
}

func (s Source) protection() (*pb.Protection, error) {
	switch s.Protect {
	case "", "auto":
		return nil, nil
	case "none":
		return &pb.Protection{K: 1}, nil
	}
	k, m, _ := strings.Cut(s.Protect, "+")
	data, err := strconv.ParseUint(k, 10, 8)
	parity, worse := strconv.ParseUint(m, 10, 8)
	if err != nil || worse != nil {
		return nil, fail("argument", s.Protect+" is not auto, none or K+M")
	}
	return &pb.Protection{K: uint32(data), M: uint32(parity)}, nil
}

type piece struct {
	offset uint64
	bytes  []byte
}

func (p piece) end() uint64 { return p.offset + uint64(len(p.bytes)) }

// Publisher writes one stream. It keeps what is not stored yet, opens again
// with its token after any trouble, and goes on: nothing twice, nothing
// missing. What it keeps is never more than the forwarder's credit.
type Publisher struct {
	at   string
	open pb.Open
	link *link // nil: to be dialled at openAt

	kept      []piece // Not stored yet, in order.
	begin     uint64
	next      uint64 // Behind the last byte written.
	sent      uint64
	stored    uint64
	settled   uint64
	credit    uint64
	stream    uint64
	session   uint64 // 0: not open.
	opened    bool   // At least once.
	sealed    bool
	finishing bool
	finished  bool // Finish was said in this session.

	keepRequest, keepSent  uint64
	openAt, saidAt, keptAt time.Time
	heardAt, askedAt       time.Time // askedAt zero: all is answered.
	moved                  time.Time // The node's last good word.
	turned                 time.Time // When the owner last let it work.
	pause                  time.Duration
	last                   *Error // Why nothing moves.
}

// Publish opens a stream for writing.
func (c *Client) Publish(name string, source Source) (*Publisher, error) {
	protection, err := source.protection()
	if err != nil {
		return nil, err
	}
	p := &Publisher{at: c.at, moved: time.Now()}
	p.open.Name, p.open.Token = name, source.Token
	p.open.ChunkBytes, p.open.Protection = source.Chunk, protection
	p.open.Kind = pb.Kind_KIND_RECORDED
	if source.Live {
		p.open.Kind = pb.Kind_KIND_LIVE
	}
	if p.open.Token == 0 {
		p.open.Token = random()
	}
	p.last = fail("unreachable", "nobody answers at "+p.at)
	for !p.opened {
		if err := p.turn(keepEach); err != nil {
			p.hangUp(0)
			return nil, err
		}
	}
	return p, nil
}

// Token of this source: with it another process can go on.
func (p *Publisher) Token() uint64 { return p.open.Token }

// Stream is its id.
func (p *Publisher) Stream() uint64 { return p.stream }

// Offset in the stream of the next byte written.
func (p *Publisher) Offset() uint64 { return p.next }

// Begin is the offset of this source's first byte.
func (p *Publisher) Begin() uint64 { return p.begin }

// Stored is the offset below which all is on disk, safe from the loss of any
// one worker.
func (p *Publisher) Stored() uint64 { return p.stored }

// Write bytes; waits while there is no credit. Write(nil) keeps the stream:
// who has nothing to write says it every few seconds.
func (p *Publisher) Write(bytes []byte) (int, error) {
	written := 0
	for {
		if err := p.drain(); err != nil {
			return written, err
		}
		if p.sealed || p.finishing {
			return written, fail("sealed", "the stream has ended")
		}
		if written == len(bytes) {
			return written, nil
		}
		room := uint64(0)
		if p.session != 0 && p.credit > p.next {
			room = p.credit - p.next
		}
		if room == 0 {
			if err := p.turn(keepEach); err != nil {
				return written, err
			}
			continue
		}
		n := uint64(len(bytes) - written)
		for _, most := range []uint64{room, pieceMost} {
			if n > most {
				n = most
			}
		}
		kept := append([]byte(nil), bytes[written:written+int(n)]...)
		p.kept = append(p.kept, piece{p.next, kept})
		p.next += n
		written += int(n)
	}
}

// drain takes what has come and sends what may go, without waiting.
func (p *Publisher) drain() error {
	for {
		heard, err := p.hear(time.Time{})
		if err != nil {
			return err
		}
		if !heard {
			return p.turn(0)
		}
	}
}

// Finish seals the stream; returns when all of it is safe.
func (p *Publisher) Finish() error {
	p.finishing = true
	for !(p.sealed && p.settled >= p.next) {
		if err := p.turn(keepEach); err != nil {
			p.hangUp(0)
			return err
		}
	}
	p.hangUp(0)
	return nil
}

// Leave lets the stream stay open for who comes with the same token. What is
// not stored by now may not be.
func (p *Publisher) Leave() {
	if p.session != 0 {
		p.link.send(&pb.Message{Request: random(), Body: &pb.Message_SourceLeave{
			SourceLeave: &pb.SourceLeave{Session: p.session}}}, nil, 0)
	}
	p.finishing = true
	p.hangUp(500 * time.Millisecond)
}

func (p *Publisher) hangUp(linger time.Duration) {
	if p.link != nil {
		p.link.close(linger)
	}
	p.link, p.session = nil, 0
}

// turn waits at most so long for one thing to happen.
func (p *Publisher) turn(wait time.Duration) error {
	now := time.Now()
	if now.Sub(p.turned) > lease {
		p.moved = now // The owner was silent, not the node.
	}
	p.turned = now
	if heard, err := p.hear(time.Time{}); heard || err != nil {
		return err
	}
	limit := patience
	if !p.opened && p.last.Status == "unreachable" {
		limit = reach
	} else if !p.opened && p.last.Status == "late" {
		limit = answered
	}
	switch {
	case now.Sub(p.moved) > limit:
		return p.last
	case p.link == nil && now.Before(p.openAt):
		if wait > p.openAt.Sub(now) {
			wait = p.openAt.Sub(now)
		}
		time.Sleep(wait)
		return nil
	case p.link == nil:
		if err := p.sayOpen(now); err != nil {
			return err
		}
	case !p.askedAt.IsZero() && now.Sub(p.askedAt) > silence:
		p.reopen(fail("late", "no answer from "+p.at), now)
		return nil
	case p.session != 0 && !now.Before(p.keepDue()):
		p.sayKeep(now)
	}
	p.pump()
	if wait == 0 {
		return nil
	}
	until := now.Add(wait)
	if p.session != 0 {
		until = least(until, p.keepDue())
	}
	if !p.askedAt.IsZero() {
		until = least(until, p.askedAt.Add(silence))
	}
	_, err := p.hear(until)
	return err
}

// keepDue is a second after the silence of either side began.
func (p *Publisher) keepDue() time.Time {
	since := least(p.saidAt, p.heardAt)
	if since.Before(p.keptAt) {
		since = p.keptAt
	}
	return since.Add(keepEach)
}

// reopen with the same token, on a new connection: what was under way on the
// old one is nobody's any more.
func (p *Publisher) reopen(why *Error, now time.Time) {
	p.hangUp(0)
	p.last = why
	p.openAt = now.Add(p.pause)
	p.pause = grow(p.pause, 50*time.Millisecond, 400*time.Millisecond)
}

func (p *Publisher) sayOpen(now time.Time) (err error) {
	if p.link, err = dial(p.at); err != nil {
		return err
	}
	if !p.link.send(&pb.Message{Request: random(),
		Body: &pb.Message_Open{Open: &p.open}}, nil, keepEach) {
		p.reopen(fail("unreachable", "nobody answers at "+p.at), now)
		return nil
	}
	p.saidAt, p.askedAt = now, now
	return nil
}

// sayKeep asks how far it is. What was sent before has come when this is
// answered, or it never will.
func (p *Publisher) sayKeep(now time.Time) {
	m := &pb.Message{Request: random()}
	if p.finishing && p.sent == p.next {
		m.Body = &pb.Message_Finish{Finish: &pb.Finish{
			Session: p.session, Offset: p.next}}
		p.finished = true
	} else {
		m.Body = &pb.Message_SourceKeep{
			SourceKeep: &pb.SourceKeep{Session: p.session}}
	}
	p.link.send(m, nil, 0) // Whoever is not there does not answer either.
	p.keepRequest, p.keepSent = m.Request, p.sent
	p.saidAt, p.keptAt = now, now
	if p.askedAt.IsZero() {
		p.askedAt = now
	}
}

// pump sends what is kept, up to the credit.
func (p *Publisher) pump() {
	if p.session == 0 {
		return
	}
	for _, kept := range p.kept {
		end := kept.end()
		if end > p.credit {
			end = p.credit
		}
		if p.sent < kept.offset || p.sent >= end {
			continue
		}
		m := &pb.Message{Request: random(), Body: &pb.Message_Piece{
			Piece: &pb.Piece{Session: p.session, Offset: p.sent}}}
		if !p.link.send(m, kept.bytes[p.sent-kept.offset:end-kept.offset],
			keepEach) {
			return
		}
		p.sent, p.saidAt = end, time.Now()
	}
	if p.finishing && !p.finished && p.sent == p.next {
		p.sayKeep(time.Now())
	}
}

// hear one message, if one comes until then.
func (p *Publisher) hear(until time.Time) (bool, error) {
	if p.link == nil {
		return false, nil
	}
	m, _, wrong := p.link.receive(until)
	if wrong != nil {
		return true, wrong
	}
	if m == nil {
		return false, nil
	}
	now := time.Now()
	var err error
	switch body := m.Body.(type) {
	case *pb.Message_Opened:
		err = p.onOpened(body.Opened, now)
	case *pb.Message_Progress:
		p.onProgress(m.Request, body.Progress, now)
	case *pb.Message_Refused:
		err = p.onRefused(refusal(body.Refused), now)
	}
	return true, err
}

func (p *Publisher) onOpened(opened *pb.Opened, now time.Time) error {
	if p.session != 0 {
		return nil
	}
	if !p.opened {
		p.begin, p.next = opened.Begin, opened.Offset
	} else if opened.Begin != p.begin || opened.Offset < p.stored {
		return fail("offset", "another source has written since")
	}
	if p.finishing && opened.Offset > p.next {
		return fail("offset", "another source with our token has written")
	}
	p.opened, p.stream, p.session = true, opened.Stream, opened.Session
	p.sent, p.credit = opened.Offset, opened.Credit
	p.heardAt, p.keptAt, p.moved = now, now, now
	p.askedAt, p.finished = time.Time{}, false
	p.letGo(opened.Offset)
	if opened.Sealed {
		p.sealed, p.settled = true, opened.Offset
	}
	return nil
}

func (p *Publisher) letGo(stored uint64) {
	if stored > p.stored {
		p.stored, p.pause = stored, 0
	}
	for len(p.kept) > 0 && p.kept[0].end() <= p.stored {
		p.kept = p.kept[1:]
	}
	if p.sent < p.stored {
		p.sent = p.stored
	}
}

func (p *Publisher) onProgress(request uint64, progress *pb.Progress,
	now time.Time) {
	if p.session == 0 || progress.Session != p.session {
		return
	}
	p.heardAt, p.moved, p.askedAt = now, now, time.Time{}
	if progress.Credit > p.credit {
		p.credit = progress.Credit
	}
	if progress.Settled > p.settled {
		p.settled = progress.Settled
	}
	p.letGo(progress.Stored)
	p.sealed = p.sealed || progress.Sealed
	if request == p.keepRequest && progress.Received < p.keepSent &&
		!p.sealed {
		p.reopen(fail("offset", "bytes were lost on their way"), now)
	}
}

func (p *Publisher) onRefused(why *Error, now time.Time) error {
	// Of one that is fenced the successor answers here soon.
	if why.Retry == "never" && why.Status != "fenced" {
		return why
	}
	if why.Retry != "reopen" {
		p.pause = grow(p.pause, 50*time.Millisecond, 400*time.Millisecond)
	}
	p.reopen(why, now)
	return nil
}
