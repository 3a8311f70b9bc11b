// example publishes a file, or follows a stream as it grows:
//
//	example publish FORWARDER NAME FILE
//	example watch DIRECTOR NAME >FILE
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"rill"
)

func publish(client *rill.Client, name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	stream, err := client.Publish(name, rill.Source{})
	if err != nil {
		return err
	}
	if _, err := io.Copy(stream, file); err != nil {
		stream.Leave()
		return err
	}
	return stream.Finish() // Now it survives the loss of workers.
}

func watch(client *rill.Client, name string) error {
	stream, err := client.Watch(name, rill.View{From: rill.Start})
	if err != nil {
		return err
	}
	defer stream.Stop()
	for {
		piece, err := stream.Next()
		if err != nil || piece == nil {
			return err
		}
		if piece.Hole() {
			fmt.Fprintf(os.Stderr, "nothing up to %d\n", piece.To)
		} else if _, err := os.Stdout.Write(piece.Bytes); err != nil {
			return err
		}
	}
}

func main() {
	if len(os.Args) < 4 {
		log.Fatal("example publish|watch HOST:PORT NAME [FILE]")
	}
	client, err := rill.Connect(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if os.Args[1] == "publish" && len(os.Args) > 4 {
		err = publish(client, os.Args[3], os.Args[4])
	} else {
		err = watch(client, os.Args[3])
	}
	if err != nil {
		log.Fatal(err)
	}
}
