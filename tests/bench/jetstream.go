// jetstream puts a file into a NATS JetStream stream on disk, or reads it back.
//
//	jetstream put ADDRESS FILE CHUNK_BYTES IN_FLIGHT
//	jetstream get ADDRESS FILE
//
// It prints the seconds that took, from the first chunk to the last
// acknowledgement, or to the last byte in FILE.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const stream, subject = "video", "video.chunk"

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func put(js nats.JetStreamContext, path string, chunk, inFlight int) error {
	_ = js.DeleteStream(stream)
	_, err := js.AddStream(&nats.StreamConfig{
		Name: stream, Subjects: []string{subject}, Storage: nats.FileStorage})
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	waiting := make([]nats.PubAckFuture, 0, inFlight)
	settle := func(future nats.PubAckFuture) error {
		select {
		case <-future.Ok():
			return nil
		case err := <-future.Err():
			return err
		}
	}
	for {
		bytes := make([]byte, chunk)
		size, err := io.ReadFull(file, bytes)
		if size == 0 {
			break
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
		if len(waiting) == inFlight {
			if err := settle(waiting[0]); err != nil {
				return err
			}
			waiting = waiting[1:]
		}
		future, err := js.PublishAsync(subject, bytes[:size])
		if err != nil {
			return err
		}
		waiting = append(waiting, future)
	}
	for _, future := range waiting {
		if err := settle(future); err != nil {
			return err
		}
	}
	return nil
}

func get(js nats.JetStreamContext, path string) error {
	about, err := js.StreamInfo(stream)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	messages, err := js.SubscribeSync(subject, nats.OrderedConsumer())
	if err != nil {
		return err
	}
	for n := uint64(0); n < about.State.Msgs; n++ {
		message, err := messages.NextMsg(20 * time.Second)
		if err != nil {
			return err
		}
		if _, err := file.Write(message.Data); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 4 {
		log.Fatal("usage: jetstream put|get ADDRESS FILE [CHUNK_BYTES IN_FLIGHT]")
	}
	connection, err := nats.Connect(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	js, err := connection.JetStream(nats.PublishAsyncMaxPending(1 << 16))
	if err != nil {
		log.Fatal(err)
	}
	begun := time.Now()
	if os.Args[1] == "put" {
		err = put(js, os.Args[3], number(os.Args[4]), number(os.Args[5]))
	} else {
		err = get(js, os.Args[3])
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(time.Since(begun).Seconds())
}
