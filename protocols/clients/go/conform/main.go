// conform drives the library for tests/plays/clients.py; what it prints is
// said in protocols/clients/README.md.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"rill"
	pb "rill.v1/pb"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

type object map[string]interface{}

func say(o object) {
	line, _ := json.Marshal(o)
	os.Stdout.Write(append(line, '\n'))
}

func sayError(err error) {
	var e *rill.Error
	if !errors.As(err, &e) {
		e = &rill.Error{Status: "io", Retry: "later", Text: err.Error()}
	}
	say(object{"error": object{"status": e.Status, "retry": e.Retry,
		"text": e.Text, "offset": e.Offset}})
}

func golden(folder string) error {
	files, _ := filepath.Glob(filepath.Join(folder, "*.bin"))
	failed := error(nil)
	for _, path := range files {
		name := filepath.Base(path)
		if name == "chunk_header.bin" {
			continue
		}
		var m proto.Message = &pb.Message{}
		if strings.HasPrefix(name, "event") {
			m = &pb.Event{}
		} else if name == "sample.bin" {
			m = &pb.Sample{}
		}
		written, err := os.ReadFile(path)
		if err == nil {
			err = proto.Unmarshal(written, m)
		}
		back, _ := proto.Marshal(m)
		back = inOrder(back, m.ProtoReflect().Descriptor())
		same := err == nil && bytes.Equal(back, written)
		say(object{"file": name, "same": same})
		if !same {
			failed = errors.New(name + " comes back with other bytes")
		}
	}
	return failed
}

// inOrder are the fields of a packed message by number; Go packs a oneof's
// last, which says the same.
func inOrder(packed []byte, of protoreflect.MessageDescriptor) []byte {
	type field struct {
		number protowire.Number
		bytes  []byte
	}
	var fields []field
	for len(packed) > 0 {
		number, kind, tag := protowire.ConsumeTag(packed)
		value := protowire.ConsumeFieldValue(number, kind, packed[tag:])
		bytes := packed[: tag+value : tag+value]
		if is := of.Fields().ByNumber(number); is.Message() != nil {
			inner, _ := protowire.ConsumeBytes(packed[tag:])
			bytes = protowire.AppendBytes(packed[:tag:tag],
				inOrder(inner, is.Message()))
		}
		fields = append(fields, field{number, bytes})
		packed = packed[tag+value:]
	}
	sort.SliceStable(fields, func(i, j int) bool {
		return fields[i].number < fields[j].number
	})
	var all []byte
	for _, f := range fields {
		all = append(all, f.bytes...)
	}
	return all
}

func sayStream(s *pb.Described) {
	kind := strings.ToLower(strings.TrimPrefix(s.Kind.String(), "KIND_"))
	say(object{"name": s.Name, "kind": kind, "stored": s.Stored,
		"stream": fmt.Sprintf("%016x", s.Stream), "size": s.Size,
		"sealed": s.Sealed})
}

func list(c *rill.Client) error {
	all, err := c.List()
	for _, s := range all {
		sayStream(s)
	}
	return err
}

func describe(c *rill.Client, names []string) bool {
	good := true
	for _, name := range names {
		if s, err := c.Describe(name); err == nil {
			sayStream(s)
		} else {
			sayError(err)
			good = false
		}
	}
	return good
}

func publish(c *rill.Client, name, path string, live bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	p, err := c.Publish(name, rill.Source{Live: live})
	if err != nil {
		return err
	}
	buffer := make([]byte, 64<<10)
	for {
		n, end := file.Read(buffer)
		if _, err := p.Write(buffer[:n]); err != nil {
			p.Leave()
			return err
		}
		if end == io.EOF {
			break
		}
		if end != nil {
			p.Leave()
			return end
		}
	}
	if err := p.Finish(); err != nil {
		return err
	}
	say(object{"stream": fmt.Sprintf("%016x", p.Stream()),
		"bytes": p.Offset() - p.Begin()})
	return nil
}

func read(c *rill.Client, name, out, span string) error {
	from, to := rill.First, rill.End
	if a, b, there := strings.Cut(span, "-"); there {
		from, _ = strconv.ParseUint(a, 10, 64)
		to, _ = strconv.ParseUint(b, 10, 64)
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer file.Close()
	r, err := c.Read(name, from, to)
	if err != nil {
		return err
	}
	defer r.Close()
	count := 0
	for {
		piece, err := r.Next()
		if err != nil {
			return err
		}
		if piece == nil {
			break
		}
		if piece.Hole() {
			say(object{"hole": []uint64{piece.Offset, piece.To}})
		}
		file.Write(piece.Bytes)
		count += len(piece.Bytes)
	}
	say(object{"bytes": count})
	return nil
}

func begin(from string) (rill.From, error) {
	switch {
	case from == "live":
		return rill.Live, nil
	case from == "start":
		return rill.Start, nil
	case strings.HasPrefix(from, "-"):
		back, err := time.ParseDuration(from[1:])
		return rill.Back(back), err
	}
	offset, err := strconv.ParseUint(from, 10, 64)
	return rill.At(offset), err
}

func watch(c *rill.Client, name, from, out string, more []string) error {
	most := ^uint64(0)
	view := rill.View{Begun: func(node string, from uint64) {
		say(object{"node": node, "from": from})
	}}
	for ; len(more) > 1; more = more[2:] {
		switch more[0] {
		case "--at":
			view.Places = strings.Split(more[1], ",")
		case "--bytes":
			most, _ = strconv.ParseUint(more[1], 10, 64)
		}
	}
	var err error
	if view.From, err = begin(from); err != nil {
		return err
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer file.Close()
	w, err := c.Watch(name, view)
	if err != nil {
		return err
	}
	defer w.Stop()
	count := uint64(0)
	for count < most {
		piece, err := w.Next()
		if err != nil {
			return err
		}
		if piece == nil {
			say(object{"bytes": count, "ended": true})
			return nil
		}
		if piece.Hole() {
			say(object{"skip": []uint64{piece.Offset, piece.To}})
		}
		if rest := most - count; uint64(len(piece.Bytes)) > rest {
			piece.Bytes = piece.Bytes[:rest]
		}
		file.Write(piece.Bytes)
		count += uint64(len(piece.Bytes))
	}
	say(object{"bytes": count, "ended": false})
	return nil
}

func tap(c *rill.Client, kinds string, count int) error {
	var wanted []string
	if kinds != "all" {
		wanted = strings.Split(kinds, ",")
	}
	t, err := c.Tap(wanted...)
	if err != nil {
		return err
	}
	defer t.Close()
	lost := uint64(0)
	for n := 0; n < count; {
		told, err := t.Next(time.Second)
		if err != nil {
			return err
		}
		if told == nil {
			continue
		}
		lost += told.Lost
		if told.Sample != nil {
			say(object{"kind": "sample", "role": told.Sample.Role,
				"node": told.Sample.Node})
		} else {
			say(object{"kind": told.Kind, "role": told.Event.Role,
				"node": told.Event.Node, "seq": told.Event.Seq})
		}
		n++
	}
	say(object{"lost": lost})
	return nil
}

func run(args []string) (bool, error) {
	arg := func(n int) string {
		if n < len(args) {
			return args[n]
		}
		return ""
	}
	if arg(0) == "golden" {
		return true, golden(arg(1))
	}
	c, err := rill.Connect(arg(1))
	if err != nil {
		return false, err
	}
	defer c.Close()
	switch arg(0) {
	case "list":
		return true, list(c)
	case "describe":
		return describe(c, args[2:]), nil
	case "publish":
		return true, publish(c, arg(2), arg(3), arg(4) == "live")
	case "read":
		return true, read(c, arg(2), arg(3), arg(4))
	case "watch":
		return true, watch(c, arg(2), arg(3), arg(4), args[5:])
	case "tap":
		count, _ := strconv.Atoi(arg(3))
		return true, tap(c, arg(2), count)
	}
	return false, errors.New("conform golden|list|describe|publish|read|" +
		"watch|tap …")
}

func main() {
	good, err := run(os.Args[1:])
	if err != nil {
		sayError(err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}
