// Package rill publishes, reads and watches streams of a rill cluster.
//
// Every value is for one goroutine at a time. Nothing runs in the background:
// what keeps a session alive is said within Write, Next and their like.
package rill

import (
	"strings"
	"time"

	pb "rill.v1/pb"
)

// Error is what a node refused, or why it could not be asked. Status and
// Retry are words of rill.v1, in lower case.
type Error struct {
	Status string // "unknown", "taken", "unreachable"; "unlisted": newer
	Retry  string // never, later, elsewhere, reopen
	Text   string // For people.
	Offset uint64 // With offset, range, gone, future: the nearest right one.
	Node   string // With taken: who has it.

	request uint64 // Of what came and is wrong; 0: not known.
}

// concerns is whether the question `request` ends with what came and is wrong.
func (e *Error) concerns(request uint64) bool {
	return e.request == 0 || e.request == request
}

func (e *Error) Error() string { return e.Status + ": " + e.Text }

// What this side says itself and may be tried again.
var retries = map[string]string{"unreachable": "later", "busy": "later",
	"late": "later", "corrupt": "elsewhere"}

func fail(status, text string) *Error {
	retry, known := retries[status]
	if !known {
		retry = "never"
	}
	return &Error{Status: status, Retry: retry, Text: text}
}

func word(status pb.Status) string {
	name, known := pb.Status_name[int32(status)]
	if !known {
		return "unlisted"
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "STATUS_"),
		"_UNSPECIFIED")
	return strings.ToLower(name)
}

func refusal(r *pb.Refused) *Error {
	e := &Error{Status: word(r.Status), Retry: "never", Text: r.Text,
		Offset: r.Offset, Node: r.Node}
	switch r.Retry {
	case pb.Retry_RETRY_LATER:
		e.Retry = "later"
	case pb.Retry_RETRY_ELSEWHERE:
		e.Retry = "elsewhere"
	case pb.Retry_RETRY_REOPEN:
		e.Retry = "reopen"
	}
	return e
}

const (
	reach    = 3 * time.Second  // To a node that is there,
	answered = 15 * time.Second // and until it answers.
)

// Client asks one node: the forwarder, a cache or the director.
type Client struct {
	at   string
	link *link
}

// Connect to the front of a node at HOST:PORT. Whether it is there shows with
// the first question.
func Connect(at string) (*Client, error) {
	link, err := dial(at)
	if err != nil {
		return nil, err
	}
	return &Client{at, link}, nil
}

// Close the connection. Publishers and watchers go on.
func (c *Client) Close() { c.link.close(0) }

// ask until the answer comes. What may have been lost with a connection is
// asked again; who is busy too.
func (c *Client) ask(m *pb.Message, within time.Duration) (*pb.Message, error) {
	m.Request = random()
	until := time.Now().Add(answered)
	last := fail("late", "no answer from "+c.at)
	for time.Now().Before(until) {
		if !c.link.send(m, nil, within) {
			return nil, fail("unreachable", "nobody answers at "+c.at)
		}
		answer, wrong := c.await(m.Request, time.Now().Add(2*time.Second))
		switch {
		case wrong != nil:
			return nil, wrong
		case answer.GetRefused() != nil:
			last = refusal(answer.GetRefused())
			if last.Status != "busy" {
				return nil, last
			}
			time.Sleep(100 * time.Millisecond)
		case answer != nil:
			return answer, nil
		}
	}
	return nil, last
}

func (c *Client) await(request uint64, until time.Time) (*pb.Message, error) {
	for {
		m, _, wrong := c.link.receive(until)
		if wrong != nil && wrong.concerns(request) {
			return nil, wrong
		}
		if wrong == nil && (m == nil || m.Request == request) {
			return m, nil
		}
	}
}

func other() error {
	return fail("kind", "the node answered another question")
}

// Describe a stream.
func (c *Client) Describe(name string) (*pb.Described, error) {
	answer, err := c.ask(&pb.Message{Body: &pb.Message_Describe{
		Describe: &pb.Describe{Which: &pb.Describe_Name{Name: name}}}}, reach)
	if err != nil {
		return nil, err
	}
	if answer.GetDescribed() == nil {
		return nil, other()
	}
	return answer.GetDescribed(), nil
}

// List all streams, by name.
func (c *Client) List() ([]*pb.Described, error) {
	var all []*pb.Described
	after := ""
	for {
		answer, err := c.ask(&pb.Message{Body: &pb.Message_List{
			List: &pb.List{After: after}}}, reach)
		if err != nil {
			return nil, err
		}
		page := answer.GetListing()
		if page == nil {
			return nil, other()
		}
		all = append(all, page.Streams...)
		if !page.More || len(page.Streams) == 0 {
			return all, nil
		}
		after = page.Streams[len(page.Streams)-1].Name
	}
}

func (c *Client) where(name string, not []string,
	within time.Duration) (*pb.Offer, error) {
	answer, err := c.ask(&pb.Message{Body: &pb.Message_Where{
		Where: &pb.Where{Name: name, Watch: true, Not: not}}}, within)
	if err != nil {
		return nil, err
	}
	if answer.GetOffer() == nil {
		return nil, other()
	}
	return answer.GetOffer(), nil
}

func (c *Client) report(within time.Duration) (*pb.Report, error) {
	answer, err := c.ask(&pb.Message{Body: &pb.Message_StatusAsk{
		StatusAsk: &pb.StatusAsk{}}}, within)
	if err != nil {
		return nil, err
	}
	if answer.GetReport() == nil {
		return nil, other()
	}
	return answer.GetReport(), nil
}
