// example publishes what it reads, or writes a stream out as it grows:
//
//	example publish FORWARDER NAME <FILE
//	example watch DIRECTOR NAME >COPY
package main

import (
	"io"
	"log"
	"os"

	"rill"
)

func publish(node *rill.Client, name string) error {
	stream, err := node.Publish(name, rill.Source{Live: true})
	if err != nil {
		return err
	}
	if _, err := io.Copy(stream, os.Stdin); err != nil {
		return err
	}
	return stream.Finish() // Now it survives the loss of workers.
}

func watch(node *rill.Client, name string) error {
	stream, err := node.Watch(name, rill.View{From: rill.Start})
	for err == nil {
		var piece *rill.Piece
		if piece, err = stream.Next(); piece == nil {
			break
		}
		_, err = os.Stdout.Write(piece.Bytes) // Of a hole there are none.
	}
	return err
}

func main() {
	run := map[string]func(*rill.Client, string) error{
		"publish": publish, "watch": watch}
	if len(os.Args) != 4 || run[os.Args[1]] == nil {
		log.Fatal("example publish|watch HOST:PORT NAME")
	}
	node, err := rill.Connect(os.Args[2])
	if err == nil {
		err = run[os.Args[1]](node, os.Args[3])
	}
	if err != nil {
		log.Fatal(err)
	}
}
