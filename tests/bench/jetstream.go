// jetstream puts a file into a NATS JetStream stream on disk, or reads it back.
//
//	jetstream put ADDRESS FILE CHUNK_BYTES IN_FLIGHT
//	jetstream get ADDRESS FILE
//
// It prints the seconds that took, from the first chunk to the last
// acknowledgement, or to the last byte in FILE. It speaks NATS' own text
// protocol and does nothing else, so that no client library slows NATS down.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const window = 8 << 20 // Of the socket's buffer, in bytes.
const silence = 30 * time.Second

type peer struct {
	net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	says sync.Mutex // Who hears says PONG.
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatalf("%s is no number", text)
	}
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func connect(address string) *peer {
	connection, err := net.Dial("tcp", address)
	check(err)
	check(connection.(*net.TCPConn).SetWriteBuffer(window))
	self := &peer{Conn: connection,
		in:  bufio.NewReaderSize(connection, 1<<20),
		out: bufio.NewWriterSize(connection, 1<<16)}
	_, _ = self.in.ReadString('\n') // INFO
	fmt.Fprint(self.out, "CONNECT {\"verbose\":false,\"headers\":true}\r\n")
	fmt.Fprint(self.out, "SUB told.> 1\r\nSUB into 2\r\n")
	return self
}

func (self *peer) say(subject, reply string, body []byte) {
	self.says.Lock()
	defer self.says.Unlock()
	fmt.Fprintf(self.out, "PUB %s %s %d\r\n", subject, reply, len(body))
	_, _ = self.out.Write(body)
	fmt.Fprint(self.out, "\r\n")
	check(self.out.Flush())
}

// hear returns the next message: its subject and its body.
func (self *peer) hear() (string, []byte) {
	for {
		check(self.SetReadDeadline(time.Now().Add(silence)))
		line, err := self.in.ReadString('\n')
		check(err)
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "PONG" || words[0] == "+OK":
		case words[0] == "PING":
			self.says.Lock()
			fmt.Fprint(self.out, "PONG\r\n")
			check(self.out.Flush())
			self.says.Unlock()
		case words[0] == "MSG" || words[0] == "HMSG":
			body := make([]byte, number(words[len(words)-1])+2)
			_, err := io.ReadFull(self.in, body)
			check(err)
			return words[1], body[:len(body)-2]
		default:
			log.Fatal(strings.TrimSpace(line))
		}
	}
}

// ask wants something of JetStream's own interface.
func (self *peer) ask(subject, body string) {
	self.say("$JS.API."+subject, "told.api", []byte(body))
}

func agreed(answer []byte) string {
	if strings.Contains(string(answer), "\"error\"") {
		log.Fatal(string(answer))
	}
	return string(answer)
}

func put(self *peer, path string, chunk, inFlight int) {
	self.ask("STREAM.CREATE.video",
		`{"name":"video","subjects":["chunk"],"storage":"file","num_replicas":1}`)
	_, answer := self.hear()
	agreed(answer)
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	about, err := file.Stat()
	check(err)
	chunks := (int(about.Size()) + chunk - 1) / chunk
	unanswered := make(chan bool, inFlight)
	done := make(chan bool)
	begun := time.Now()
	go func() {
		for n := 0; n < chunks; n++ {
			if _, answer := self.hear(); !strings.Contains(string(answer),
				"\"seq\"") {
				log.Fatal(string(answer))
			}
			<-unanswered
		}
		done <- true
	}()
	bytes := make([]byte, chunk)
	for n := 0; n < chunks; n++ {
		size, err := io.ReadFull(file, bytes)
		if err != nil && err != io.ErrUnexpectedEOF {
			log.Fatal(err)
		}
		unanswered <- true
		self.say("chunk", "told.ack", bytes[:size])
	}
	<-done
	fmt.Println(time.Since(begun).Seconds())
}

func get(self *peer, path string) {
	self.ask("STREAM.INFO.video", "")
	_, answer := self.hear()
	about := agreed(answer)
	_, behind, _ := strings.Cut(about, "\"messages\":")
	count := number(behind[:strings.IndexAny(behind, ",}")])
	file, err := os.Create(path)
	check(err)
	defer file.Close()
	begun := time.Now()
	self.ask("CONSUMER.CREATE.video", `{"stream_name":"video","config":{`+
		`"deliver_subject":"into","deliver_policy":"all",`+
		`"ack_policy":"none","replay_policy":"instant"}}`)
	for n := 0; n < count; {
		// The answer may come behind the first chunks.
		subject, body := self.hear()
		if subject == "told.api" {
			agreed(body)
			continue
		}
		_, err := file.Write(body)
		check(err)
		n++
	}
	fmt.Println(time.Since(begun).Seconds())
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 6 && os.Args[1] == "put" {
		put(connect(os.Args[2]), os.Args[3], number(os.Args[4]),
			number(os.Args[5]))
	} else if len(os.Args) == 4 && os.Args[1] == "get" {
		get(connect(os.Args[2]), os.Args[3])
	} else {
		log.Fatal("usage: jetstream put|get ADDRESS FILE [CHUNK_BYTES IN_FLIGHT]")
	}
}
