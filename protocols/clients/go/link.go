package rill

/*
#cgo LDFLAGS: -lzmq
#include <stdlib.h>
#include <zmq.h>

static int poll_in(void *socket, long ms)
{
    zmq_pollitem_t item = { socket, 0, ZMQ_POLLIN, 0 };
    return zmq_poll(&item, 1, ms);
}
static int set(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}
static int set_most(void *socket, int64_t bytes)
{
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes, sizeof bytes);
}
*/
import "C"

import (
	"crypto/rand"
	"encoding/binary"
	"net"
	"sync"
	"syscall"
	"time"
	"unsafe"

	pb "rill.v1/pb"

	"google.golang.org/protobuf/proto"
)

const (
	version     = 1
	headMost    = 64 << 10
	payloadMost = 4<<20 + 4<<10
)

// One for all sockets of the process, while there are any: what a socket said
// last leaves before the context ends, and is lost if the process does first.
var (
	context unsafe.Pointer
	sockets int
	guard   sync.Mutex
)

func random() uint64 {
	var bytes [8]byte
	if _, err := rand.Read(bytes[:]); err != nil {
		panic(err)
	}
	return binary.LittleEndian.Uint64(bytes[:])>>1 | 1
}

// socket is a ZeroMQ socket. For one goroutine at a time.
type socket struct{ handle unsafe.Pointer }

func open(kind C.int, receive C.int) (*socket, error) {
	guard.Lock()
	defer guard.Unlock()
	if context == nil {
		context = C.zmq_ctx_new()
	}
	handle, err := C.zmq_socket(context, kind)
	if handle == nil {
		return nil, fail("limit", err.Error())
	}
	sockets++
	C.set(handle, C.ZMQ_LINGER, 0)
	C.set(handle, C.ZMQ_SNDHWM, 64)
	C.set(handle, C.ZMQ_RCVHWM, receive)
	C.set(handle, C.ZMQ_IMMEDIATE, 1) // Nothing is sent to who is not there.
	C.set(handle, C.ZMQ_RECONNECT_IVL, 50)
	C.set(handle, C.ZMQ_RECONNECT_IVL_MAX, 1000)
	C.set(handle, C.ZMQ_IPV6, 1)
	C.set_most(handle, payloadMost)
	return &socket{handle}, nil
}

func (s *socket) connect(endpoint string) error {
	text := C.CString(endpoint)
	defer C.free(unsafe.Pointer(text))
	for {
		rc, err := C.zmq_connect(s.handle, text)
		if rc == 0 {
			return nil
		}
		if err != syscall.EINTR {
			return fail("address", endpoint+": "+err.Error())
		}
	}
}

func (s *socket) subscribe(topic string) {
	text := C.CString(topic)
	defer C.free(unsafe.Pointer(text))
	C.zmq_setsockopt(s.handle, C.ZMQ_SUBSCRIBE, unsafe.Pointer(text),
		C.size_t(len(topic)))
}

func (s *socket) close(linger time.Duration) {
	if s != nil && s.handle != nil {
		C.set(s.handle, C.ZMQ_LINGER, C.int(linger.Milliseconds()))
		C.zmq_close(s.handle)
		s.handle = nil
		guard.Lock()
		defer guard.Unlock()
		if sockets--; sockets == 0 {
			for {
				rc, err := C.zmq_ctx_term(context)
				if rc == 0 || err != syscall.EINTR {
					break
				}
			}
			context = nil
		}
	}
}

// sendFrame is false when nobody is there to take it.
func (s *socket) sendFrame(bytes []byte, more bool) bool {
	var flags C.int
	if more {
		flags = C.ZMQ_SNDMORE
	}
	var first unsafe.Pointer
	if len(bytes) > 0 {
		first = unsafe.Pointer(&bytes[0])
	}
	for {
		rc, err := C.zmq_send(s.handle, first, C.size_t(len(bytes)), flags)
		if rc >= 0 || err != syscall.EINTR {
			return rc >= 0
		}
	}
}

// frames waits for a message until then; nil: none came. Of one with more
// than three frames the first four are told, the rest is let go.
func (s *socket) frames(until time.Time) [][]byte {
	for {
		wait := time.Until(until).Milliseconds()
		if wait < 0 {
			wait = 0
		}
		if C.poll_in(s.handle, C.long(wait)) > 0 {
			break
		}
		if !time.Now().Before(until) {
			return nil
		}
	}
	var parts [][]byte
	for more := true; more; {
		var frame C.zmq_msg_t
		C.zmq_msg_init(&frame)
		if rc, err := C.zmq_msg_recv(&frame, s.handle,
			C.ZMQ_DONTWAIT); rc < 0 {
			C.zmq_msg_close(&frame)
			if err == syscall.EINTR {
				continue
			}
			return nil
		}
		if len(parts) < 4 {
			parts = append(parts, C.GoBytes(C.zmq_msg_data(&frame),
				C.int(C.zmq_msg_size(&frame))))
		}
		more = C.zmq_msg_more(&frame) != 0
		C.zmq_msg_close(&frame)
	}
	return parts
}

// link is one connection to a node's front.
type link struct{ *socket }

func dial(at string) (*link, error) {
	if _, port, err := net.SplitHostPort(at); err != nil || port == "" {
		return nil, fail("address", at+" is not HOST:PORT")
	}
	s, err := open(C.ZMQ_DEALER, 1000)
	if err != nil {
		return nil, err
	}
	if err := s.connect("tcp://" + at); err != nil {
		s.close(0)
		return nil, err
	}
	return &link{s}, nil
}

// send is false when the node cannot be reached or takes nothing within so
// long.
func (l *link) send(m *pb.Message, payload []byte, within time.Duration) bool {
	m.Version, m.Trace = version, random()
	C.set(l.handle, C.ZMQ_SNDTIMEO, C.int(within.Milliseconds()))
	head, err := proto.Marshal(m)
	if err != nil || len(head) > headMost {
		return false
	}
	return l.sendFrame(nil, true) && l.sendFrame(head, payload != nil) &&
		(payload == nil || l.sendFrame(payload, false))
}

// receive is nil, nil, nil when nothing came until then. What is no message
// of this version is an error, with its request where that can be read.
func (l *link) receive(until time.Time) (*pb.Message, []byte, *Error) {
	parts := l.frames(until)
	if parts == nil {
		return nil, nil, nil
	}
	m := &pb.Message{}
	if len(parts) < 2 || len(parts[0]) != 0 {
		return nil, nil, fail("malformed", "a message of other parts came")
	}
	if len(parts[1]) > headMost {
		return nil, nil, fail("too_large", "a head over 64 KiB came")
	}
	if proto.Unmarshal(parts[1], m) != nil {
		return nil, nil, fail("malformed", "a head came that is no message")
	}
	var wrong *Error
	switch {
	case m.Version != version:
		wrong = fail("version", "the node speaks another version")
	case m.Body == nil:
		wrong = fail("kind", "the node said what is not known here")
	case hasPayload(m) != (len(parts) == 3) || len(parts) > 3:
		wrong = fail("malformed", "a payload is missing or too much")
	case m.GetRefused() != nil && m.GetRefused().Status == 0:
		wrong = fail("malformed", "the node refused with OK")
	default:
		if len(parts) == 3 {
			return m, parts[2], nil
		}
		return m, nil, nil
	}
	wrong.request = m.Request
	return nil, nil, wrong
}

func hasPayload(m *pb.Message) bool {
	switch m.Body.(type) {
	case *pb.Message_Piece, *pb.Message_Answer, *pb.Message_Store,
		*pb.Message_Fetched, *pb.Message_Flow:
		return true
	}
	return false
}

// least of some times, those that are zero left out.
func least(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// grow is the pause after this one, while nothing comes of it.
func grow(pause, first, most time.Duration) time.Duration {
	if pause == 0 {
		return first
	}
	if pause *= 2; pause > most {
		return most
	}
	return pause
}
