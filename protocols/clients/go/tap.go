package rill

/*
#include <zmq.h>
*/
import "C"

import (
	"strings"
	"time"

	pb "rill.v1/pb"

	"google.golang.org/protobuf/proto"
)

const tapQueue = 10000 // Events that wait; more are lost, and counted.

// Told is what a node told: an event or a sample.
type Told struct {
	Kind   string // The event's, or "sample".
	Event  *pb.Event
	Sample *pb.Sample
	Lost   uint64 // Events that were lost since the last one was heard.
}

// Tap listens to the events of a cluster.
type Tap struct {
	socket *socket
	seen   map[string]uint64 // Last number by node and kind.
	Nodes  []string          // That it listens to,
	Silent []string          // and addresses where nobody answered.
}

// Tap the node and all that it names, the director the whole tree. Kinds are
// those of rill.v1.Event, and "sample"; none: all events.
func (c *Client) Tap(kinds ...string) (*Tap, error) {
	t := &Tap{seen: map[string]uint64{}}
	var err error
	if t.socket, err = open(C.ZMQ_SUB, tapQueue); err != nil {
		return nil, err
	}
	reports, err := c.reports(t)
	if err != nil {
		t.Close()
		return nil, err
	}
	for _, r := range reports {
		if err := t.socket.connect(r.TapAt); err != nil {
			t.Close()
			return nil, err
		}
		t.Nodes = append(t.Nodes, r.Node)
		whose := r.Role + "." + r.Node
		for _, kind := range kinds {
			if kind == "sample" {
				t.socket.subscribe("st.v1." + whose)
			} else {
				t.socket.subscribe("ev.v1." + whose + "." + kind)
			}
		}
	}
	if len(kinds) == 0 {
		t.socket.subscribe("ev.v1.")
	}
	return t, nil
}

// reports of the node and of all that are named in one.
func (c *Client) reports(t *Tap) ([]*pb.Report, error) {
	first, err := c.report(reach)
	if err != nil {
		return nil, err
	}
	var all []*pb.Report
	known, queue := map[string]bool{c.at: true}, []*pb.Report{first}
	nodes := map[string]bool{}
	for len(queue) > 0 {
		r := queue[0]
		queue = queue[1:]
		if r.TapAt != "" && !nodes[r.Node] {
			nodes[r.Node] = true
			all = append(all, r)
		}
		for _, at := range named(r) {
			if at == "" || known[at] {
				continue
			}
			known[at] = true
			if r := reportOf(at); r != nil {
				queue = append(queue, r)
			} else {
				t.Silent = append(t.Silent, at)
			}
		}
	}
	return all, nil
}

func named(r *pb.Report) (ats []string) {
	for _, node := range r.Nodes {
		ats = append(ats, node.At)
	}
	for _, worker := range r.Workers {
		ats = append(ats, strings.TrimPrefix(worker.Reach, "tcp://"))
	}
	return ats
}

func reportOf(at string) *pb.Report {
	c, err := Connect(at)
	if err != nil {
		return nil
	}
	defer c.Close()
	r, _ := c.report(time.Second)
	return r
}

// Next event or sample; nil: none came for so long.
func (t *Tap) Next(wait time.Duration) (*Told, error) {
	until := time.Now().Add(wait)
	for {
		parts := t.socket.frames(until)
		if parts == nil {
			return nil, nil
		}
		if len(parts) != 2 || len(parts[1]) > headMost {
			return nil, fail("malformed", "an event of other parts came")
		}
		told := &Told{}
		var err error
		if strings.HasPrefix(string(parts[0]), "st.") {
			told.Kind, told.Sample = "sample", &pb.Sample{}
			err = proto.Unmarshal(parts[1], told.Sample)
		} else {
			told.Event = &pb.Event{}
			err = proto.Unmarshal(parts[1], told.Event)
		}
		if err != nil {
			return nil, fail("malformed", "an event came that is none")
		}
		t.count(told)
		return told, nil
	}
}

// count what was lost before this.
func (t *Tap) count(told *Told) {
	if told.Sample != nil {
		for _, kind := range told.Sample.Told {
			key := told.Sample.Node + " " + kind.Kind
			if last, heard := t.seen[key]; heard {
				if kind.Seq > last {
					told.Lost += kind.Seq - last
				}
				t.seen[key] = kind.Seq
			}
		}
		return
	}
	event := told.Event.ProtoReflect()
	what := event.Descriptor().Oneofs().ByName("what")
	if field := event.WhichOneof(what); field != nil {
		told.Kind = string(field.Name())
	}
	key := told.Event.Node + " " + told.Kind
	last, heard := t.seen[key]
	if heard && told.Event.Seq > last+1 {
		told.Lost = told.Event.Seq - last - 1
	}
	t.seen[key] = told.Event.Seq
}

// Close it.
func (t *Tap) Close() { t.socket.close(0) }
