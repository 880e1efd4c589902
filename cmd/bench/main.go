// Command bench measures what a vLLM server can take, what stops it, and which GPUs a demand needs.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"bench/internal/cli"
)

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Getenv, signals))
}
