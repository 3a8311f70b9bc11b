package rill

import (
	"hash/crc32"
	"time"

	pb "rill.v1/pb"
)

const (
	asksMost = 8
	budget   = 2 * time.Second // Of one ask.
)

// Of a range.
const (
	First = ^uint64(0) - 1 // From the oldest byte there is,
	End   = ^uint64(0)     // to behind all that is stored now.
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Piece is what a reader or watcher gets next: bytes at an offset, or a hole.
type Piece struct {
	Offset uint64
	Bytes  []byte
	To     uint64          // Behind them. Without Bytes: a hole ends here.
	Chunk  *pb.ChunkHeader // That they came in; nil of a hole.
}

// Hole tells whether the stream has no bytes here.
func (p *Piece) Hole() bool { return p.Chunk == nil }

// checked is whether a payload is what its header says.
func checked(chunk *pb.ChunkHeader, stream uint64, payload []byte) bool {
	return chunk != nil && chunk.Stream == stream && chunk.Slot < chunk.K &&
		uint64(chunk.Length) == uint64(len(payload)) &&
		chunk.Offset+uint64(chunk.Length) >= chunk.Offset &&
		crc32.Checksum(payload, castagnoli) == chunk.PayloadCrc
}

type question struct {
	offset  uint64
	request uint64 // 0: to be asked at `at`; else it was, then.
	at      time.Time
	pause   time.Duration
}

type chunk struct {
	header *pb.ChunkHeader
	bytes  []byte
}

func (c chunk) end() uint64 { return c.header.Offset + uint64(len(c.bytes)) }
func (c chunk) covers(offset uint64) bool {
	return c.header.Offset <= offset && offset < c.end()
}

// Reader has several asks open, at the offsets where it expects chunks to
// begin, and gives their bytes in order.
type Reader struct {
	link     *link
	stream   uint64
	next, to uint64
	expected uint64 // Where the next ask goes.
	length   uint64 // That chunks have.
	asks     []*question
	held     []chunk // That came before their turn.
	moved    time.Time
	lostAt   time.Time // Since when the node cannot be reached; zero: it can.
	last     *Error
}

// Read the bytes [from, to) of a stream; to End: all that is stored now.
func (c *Client) Read(name string, from, to uint64) (*Reader, error) {
	is, err := c.Describe(name)
	if err != nil {
		return nil, err
	}
	if from == First {
		from = is.First
	}
	if to == End && from <= is.Stored {
		to = is.Stored
	} else if to == End {
		to = from + 1 // The node says what is wrong with it.
	}
	if from > to {
		return nil, fail("argument", "a range ends before it begins")
	}
	link, err := dial(c.at)
	if err != nil {
		return nil, err
	}
	length := uint64(is.ChunkBytes)
	if length == 0 {
		length = 256 << 10
	}
	return &Reader{link: link, stream: is.Stream, next: from, to: to,
		expected: from, length: length, moved: time.Now(),
		last: fail("late", "no answer from "+c.at)}, nil
}

// Close ends it early; Next does at the end and after an error.
func (r *Reader) Close() {
	r.link.close(0)
	r.next = r.to
}

// Next piece, in order. nil, nil: that was all.
func (r *Reader) Next() (*Piece, error) {
	// The owner was silent, not the node.
	r.moved, r.lostAt = time.Now(), time.Time{}
	for r.next < r.to {
		if piece := r.due(); piece != nil {
			return piece, nil
		}
		if err := r.ask(); err != nil {
			r.Close()
			return nil, err
		}
		hole, err := r.hear()
		if err != nil {
			r.Close()
			return nil, err
		}
		if hole != nil {
			return hole, nil
		}
	}
	r.Close()
	return nil, nil
}

// due is the piece at `next`, if its chunk is held.
func (r *Reader) due() *Piece {
	rest := r.held[:0]
	var found *Piece
	for _, c := range r.held {
		if found == nil && c.covers(r.next) {
			end := c.end()
			if end > r.to {
				end = r.to
			}
			found = &Piece{Offset: r.next, To: end, Chunk: c.header,
				Bytes: c.bytes[r.next-c.header.Offset : end-c.header.Offset]}
			r.next = end
		}
	}
	for _, c := range r.held {
		if c.end() > r.next {
			rest = append(rest, c)
		}
	}
	r.held = rest
	return found
}

// open is whether the byte at `offset` was or is to be asked for.
func (r *Reader) open(offset uint64) bool {
	for _, q := range r.asks {
		if q.offset == offset {
			return true
		}
	}
	return false
}

// ask for the next byte and ahead of it, and again what is due again.
func (r *Reader) ask() error {
	now := time.Now()
	if now.Sub(r.moved) > patience {
		return r.last
	}
	if !r.lostAt.IsZero() && now.Sub(r.lostAt) > reach {
		return fail("unreachable", "the node cannot be reached any more")
	}
	if r.expected < r.next {
		r.expected = r.next
	}
	if !r.open(r.next) {
		r.asks = append(r.asks, &question{offset: r.next})
	}
	for len(r.asks)+len(r.held) < asksMost && r.expected < r.to {
		offset := r.expected
		r.expected += r.length
		for _, c := range r.held {
			if c.covers(offset) {
				offset = End
				r.expected = c.end()
				break
			}
		}
		if offset != End && !r.open(offset) {
			r.asks = append(r.asks, &question{offset: offset})
		}
	}
	for _, q := range r.asks {
		if q.request != 0 && now.Sub(q.at) > budget+time.Second/2 {
			q.request, q.at = 0, now
		}
		if q.request != 0 || now.Before(q.at) {
			continue
		}
		request := random()
		if !r.link.send(&pb.Message{Request: request, Body: &pb.Message_Ask{
			Ask: &pb.Ask{Stream: r.stream,
				At:       &pb.Ask_Offset{Offset: q.offset},
				BudgetMs: uint32(budget.Milliseconds())}}}, nil,
			100*time.Millisecond) {
			if r.lostAt.IsZero() {
				r.lostAt = now
			}
			break
		}
		r.lostAt = time.Time{}
		q.request, q.at = request, now
	}
	return nil
}

// hear one answer, or until something is to be asked again; maybe a hole.
func (r *Reader) hear() (*Piece, error) {
	until := time.Now().Add(time.Second)
	for _, q := range r.asks {
		if q.request == 0 {
			until = least(until, q.at)
		}
	}
	m, payload, wrong := r.link.receive(until)
	for _, q := range r.asks {
		if wrong != nil && wrong.concerns(q.request) {
			return nil, wrong
		}
	}
	if m == nil {
		return nil, nil
	}
	for i, q := range r.asks {
		if q.request != m.Request {
			continue
		}
		if refused := m.GetRefused(); refused != nil {
			return r.refused(i, refusal(refused))
		}
		header := m.GetAnswer().GetChunk()
		c := chunk{header, payload}
		if !checked(header, r.stream, payload) || !c.covers(q.offset) {
			return r.refused(i, fail("corrupt", "a chunk came that is not "+
				"what was written"))
		}
		r.asks = append(r.asks[:i], r.asks[i+1:]...)
		r.moved = time.Now()
		r.length = uint64(len(payload))
		if c.end() > r.next {
			r.held = append(r.held, c)
		}
		return nil, nil
	}
	return nil, nil
}

func (r *Reader) refused(i int, why *Error) (*Piece, error) {
	q := r.asks[i]
	if why.Status == "range" && why.Offset > q.offset {
		return r.skip(i, why.Offset), nil
	}
	if q.offset != r.next && (why.Retry == "never" || why.Status == "future") {
		// Asked ahead of it; if it is true it will be met again.
		r.asks = append(r.asks[:i], r.asks[i+1:]...)
		return nil, nil
	}
	if why.Retry == "never" || why.Status == "future" {
		return nil, why
	}
	q.pause = grow(q.pause, 50*time.Millisecond, 800*time.Millisecond)
	q.request, q.at = 0, time.Now().Add(q.pause)
	r.last = why
	return nil, nil
}

// skip a hole. One that lies ahead is met again when it is its turn.
func (r *Reader) skip(i int, to uint64) *Piece {
	ahead := r.asks[i].offset != r.next
	r.asks = append(r.asks[:i], r.asks[i+1:]...)
	if r.expected < to {
		r.expected = to
	}
	if ahead {
		return nil
	}
	if to > r.to {
		to = r.to
	}
	hole := &Piece{Offset: r.next, To: to}
	r.next, r.moved = to, time.Now()
	return hole
}
